from rufous.evaluation.dimensions.detections import sampled_frames
from rufous.evaluation.dimensions.multiple_objects import MultipleObjects
from rufous.evaluation.dimensions.object_class import ObjectClass
from rufous.evaluation.dimensions.scene import Scene
from tests.evaluation.dimensions.seen import blank_clip, seeing, thing


def test_a_class_counts_in_every_frame_that_shows_it():
    row = ObjectClass(detector=seeing([thing("dog")], [thing("cat"), thing("dog")], [thing("cat")]))
    score = row.measure(blank_clip(object_class={"object": "dog"}))
    assert (score.value, score.weight) == (2 / 16, 16)
    assert score.details == {"success_frame_count": 2, "frame_count": 16}


def test_two_classes_must_be_seen_at_once():
    row = MultipleObjects(detector=seeing([thing("bird")], [thing("cat"), thing("bird")], [thing("cat")]))
    assert row.measure(blank_clip(multiple_objects={"object": "bird and cat"})).value == 1 / 16


def test_a_scene_is_all_of_its_words_in_a_caption():
    captions = ["a train station at night", "a train", *["stations"] * 14]
    row = Scene(captioner=lambda frames: captions)
    assert row.measure(blank_clip(scene={"scene": {"scene": "train station"}})).value == 1 / 16


def test_large_frames_are_shrunk_for_detectors():
    assert sampled_frames(blank_clip(size=770)).shape == (16, 3, 720, 720)
    assert sampled_frames(blank_clip(size=768)).shape == (16, 3, 768, 768)

import numpy as np
import pytest
import torch

from rufous.world.accuracy import add_noise
from rufous.world.captions import Description, ThingDescription, describe, parse_caption
from rufous.world.dataset import WorldClips
from rufous.world.motion import MotionParameters
from rufous.world.render import render
from rufous.world.scene import Background, Scene, Thing
from rufous.world.truth import Measurement, Verdict, judge, measure, score, truth_of

FPS = 8.0


def scene(motion="moving left", *, shape="star", travel=0.4, rate=0.0, **changes) -> Scene:
    parameters = MotionParameters(center=(0.02, 0.03), travel=travel, rate=rate)
    thing = Thing(shape=shape, color="red", size="medium", motion=motion, radius=0.145, parameters=parameters)
    return Scene(things=(thing,), background=Background(kind="plain", colors=("white",)), **changes)


@pytest.mark.parametrize("level", ["core", "full"])
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_fresh_clips_are_read_without_a_mistake(level, noise):
    clips = WorldClips(seed=3, level=level, split="any")
    for index in range(4):
        clip = clips[index]
        frames = add_noise(clip.frames, noise, index) if noise else clip.frames
        verdict = judge(describe(clip.scene), measure(frames, clip.fps))
        assert verdict.all_right, (clip.caption, verdict)


@pytest.mark.parametrize(
    ("num_frames", "height", "width", "fps"), [(8, 96, 64, 6.0), (32, 64, 112, 16.0), (16, 256, 256, 8.0)]
)
def test_size_length_and_fps_do_not_matter(num_frames, height, width, fps):
    clips = WorldClips(seed=5, split="any", num_frames=num_frames, height=height, width=width, fps=fps)
    verdicts = [judge(describe(clips[index].scene), measure(clips[index].frames, fps)) for index in range(2)]
    assert all(verdict.all_right for verdict in verdicts), verdicts


def test_a_clip_without_things_has_none():
    frames = render(Scene(things=(), background=Background(kind="checker", colors=("white", "navy"))))
    measured = measure(frames, FPS)
    assert measured.things == ()
    assert (measured.background_kind, measured.motion_magnitude) == ("checker", 0.0)
    verdict = judge(Description(things=(ThingDescription(shape="star", color="red"),)), measured)
    assert verdict.attributes == {"count": "wrong", "shape": "wrong", "color": "wrong"}


def test_pure_noise_is_measured_without_a_claim():
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (8, 3, 64, 64), generator=generator, dtype=torch.uint8)
    measured = measure(frames, FPS)
    assert measured.background_kind is None
    assert all(thing.shape is None or thing.motion is None for thing in measured.things)


def test_a_third_thing_is_one_too_many():
    frames = render(scene("still"))
    frames[:, :, 4:14, 4:14] = torch.tensor([45, 85, 225], dtype=torch.uint8)[:, None, None]
    verdict = judge(describe(scene("still")), measure(frames, FPS))
    assert verdict.attributes["count"] == "wrong"
    assert not verdict.all_right


def test_a_second_thing_of_the_same_color_is_counted():
    frames = render(scene("still"))
    frames[:, :, 4:14, 4:14] = torch.tensor([220, 40, 40], dtype=torch.uint8)[:, None, None]
    assert len(measure(frames, FPS).things) == 2


def test_magnitude_is_the_speed_of_a_straight_path():
    duration_s = 15 / FPS
    assert measure(render(scene()), FPS).motion_magnitude == pytest.approx(0.4 / duration_s, rel=0.03)
    assert measure(render(scene("still")), FPS).motion_magnitude < 0.01


def test_magnitude_counts_rotation_by_the_gyration_radius():
    measured = measure(render(scene("rotating", rate=0.3)), FPS)
    assert measured.motion_magnitude == pytest.approx(2 * np.pi * 0.3 * 0.145 / np.sqrt(2), rel=0.1)


def test_magnitude_does_not_depend_on_the_fps():
    slow, fast = (measure(render(scene(), num_frames=n, fps=f), f) for n, f in ((9, 4.0), (31, 15.0)))
    assert slow.motion_magnitude == pytest.approx(fast.motion_magnitude, rel=0.03)


def test_jumps_and_flicker_lower_the_smoothness():
    frames = render(scene())
    smooth = measure(frames, FPS).smoothness
    order = torch.tensor([0, 9, 3, 12, 1, 7, 14, 5, 2, 10, 6, 15, 4, 11, 8, 13])
    dark = frames.clone()
    dark[::2] = (dark[::2] * 0.85).to(torch.uint8)
    assert smooth > 0.97
    assert measure(frames[order], FPS).smoothness < 0.6
    assert measure(dark, FPS).smoothness < 0.6


def test_what_the_caption_leaves_out_is_not_judged():
    description = parse_caption("a red star moving left")
    assert description is not None
    assert set(judge(description, measure(render(scene()), FPS)).attributes) == {
        "count",
        "shape",
        "color",
        "motion",
    }


def test_a_wrong_caption_is_wrong_in_the_attribute_that_differs():
    verdict = truth_of(render(scene()), FPS, "a medium red heart moving right on a black background")
    wrong = {name for name, value in verdict.attributes.items() if value == "wrong"}
    assert wrong == {"shape", "motion", "background"}


def test_a_pair_may_be_told_in_either_order():
    clips = WorldClips(seed=11, level="full", split="any")
    index = next(i for i in range(50) if clips.scene(i)[0].relation == "above")
    told = describe(clips.scene(index)[0])
    turned = Description(things=told.things[::-1], relation="below")
    measured = measure(clips[index].frames, FPS)
    assert judge(told, measured).all_right
    assert judge(turned, measured).all_right
    assert (
        judge(Description(things=told.things, relation="below"), measured).attributes["relation"] == "wrong"
    )


def test_score_counts_only_where_an_attribute_was_mentioned():
    verdicts = [Verdict({"shape": "right"}), Verdict({"shape": "unsure", "camera": "wrong"})]
    table = score(verdicts)
    assert table["shape"] == {"right": 0.5, "wrong": 0.0, "unsure": 0.5, "count": 2}
    assert table["camera"]["count"] == 1
    assert table["all_right"] == {"right": 0.5, "count": 2}
    assert score([]) == {}


@pytest.mark.parametrize(
    ("shape", "fps"), [((1, 3, 64, 64), 8.0), ((8, 3, 8, 64), 8.0), ((8, 3, 64, 64), 0.0)]
)
def test_clips_that_cannot_be_measured_are_refused(shape, fps):
    with pytest.raises(ValueError, match="cannot measure"):
        measure(torch.zeros(shape, dtype=torch.uint8), fps)


def test_a_caption_outside_the_grammar_is_refused():
    with pytest.raises(ValueError, match="outside the world's grammar"):
        truth_of(render(scene()), FPS, "a panda on a skateboard")


def test_a_measurement_is_reproducible():
    frames = render(scene())
    first, second = measure(frames, FPS), measure(frames, FPS)
    assert isinstance(first, Measurement)
    assert (first.smoothness, first.motion_magnitude) == (second.smoothness, second.motion_magnitude)

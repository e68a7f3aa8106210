from rufous.evaluation.dimensions.color import Color, object_of
from tests.evaluation.dimensions.seen import blank_clip, seeing, thing


def test_colour_is_a_share_of_the_frames_that_show_the_thing():
    bicycle = [thing("bicycle", caption=f"a {color} bicycle") for color in ("red", "blue", "shiny")]
    row = Color(detector=seeing(*[[each] for each in bicycle], [thing("car", caption="a red car")]))
    assert row.measure(blank_clip("a red bicycle", color={"color": "red"})).value == 0.5


def test_a_thing_that_is_never_seen_does_not_count():
    score = Color(detector=seeing()).measure(blank_clip("a red bicycle", color={"color": "red"}))
    assert score.value is None


def test_nouns_are_cut_out_as_published():
    assert object_of("a red bicycle", "red") == "bicycle"
    assert object_of("an orange cat", "orange") == "cat"

import pytest
import torch

from rufous.evaluation.dimensions.human_action import HumanAction, action_of
from tests.evaluation.dimensions.seen import blank_clip

LABELS = [*(f"action {number}" for number in range(399)), "riding a bike"]
NAME = "A person is riding a bike-3.mp4"


def test_actions_are_read_in_the_file_name():
    assert action_of(NAME) == "riding a bike"
    assert action_of("A person is yoga_2.mp4") == "yoga"


@pytest.mark.parametrize(("logit", "is_right"), [(9.0, True), (1.7346, True), (1.7340, False)])
def test_an_action_counts_from_a_probability_of_085(logit, is_right):
    logits = torch.full((1, 400), -9.0)
    logits[0, 399] = logit
    score = HumanAction(classifier=lambda pixels: logits, labels=LABELS).measure(blank_clip(name=NAME))
    assert score.value == float(is_right)
    assert score.details == {"video_results": is_right, "cor_num_per_video": int(is_right)}


def test_only_the_five_likeliest_labels_count():
    logits = torch.full((1, 400), -9.0)
    logits[0, :5], logits[0, 399] = 9.0, 8.0
    seen = []
    row = HumanAction(classifier=lambda pixels: seen.append(pixels) or logits, labels=LABELS)
    assert row.measure(blank_clip(name=NAME)).value == 0.0
    assert seen[0].shape == (1, 3, 16, 224, 224)


def test_a_name_without_an_action_is_not_measured():
    row = HumanAction(classifier=lambda pixels: pytest.fail("asked"), labels=LABELS)
    score = row.measure(blank_clip(name="a dog-0.mp4"))
    assert score.value is None
    assert score.details == {"note": "its name tells no action that the classifier knows"}

import pytest
import torch
from torch import Tensor

from rufous.evaluation.dimensions.consistency import consistency, embedded
from rufous.evaluation.dimensions.dimension import dataset_score

E1, E2 = [1.0, 0.0], [0.0, 1.0]


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ([E1, E1, E1], 1.0),
        ([E1, E1, E2], 0.5),
        ([E1, E2, E1], 0.25),
        ([E1, [-1.0, 0.0]], 0.0),
        ([E1, [5.0, 0.0]], 1.0),
    ],
)
def test_consistency_of_known_features(features, expected):
    assert consistency(torch.tensor(features)).value == pytest.approx(expected)


def test_consistency_is_a_mean_over_frames_not_clips():
    long, short = consistency(torch.tensor([E1] * 5)), consistency(torch.tensor([E1, E2]))
    assert dataset_score([long, short]) == pytest.approx(4 / 5)
    assert (long.value + short.value) / 2 == 0.5


def test_features_that_are_no_numbers_are_refused():
    frames = torch.ones(2, 3, 4, 4, dtype=torch.uint8)
    with pytest.raises(FloatingPointError, match="NaN"):
        embedded(lambda pixels: pixels.flatten(1)[:, :2] * float("nan"), frames, Tensor.float)


def test_frames_are_prepared_a_few_at_a_time():
    sizes = []
    frames = torch.arange(40, dtype=torch.uint8).reshape(40, 1, 1, 1).repeat(1, 3, 1, 1)
    features = embedded(
        lambda pixels: pixels[:, :, 0, 0], frames, lambda part: sizes.append(len(part)) or part
    )
    assert features[:, 0].tolist() == list(range(40))
    assert sizes == [16, 16, 8]

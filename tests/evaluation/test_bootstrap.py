import numpy as np
import pytest

from rufous.evaluation.bootstrap import mean_interval


def test_the_interval_holds_the_mean_and_narrows_with_more_clips():
    values = np.tile([0.0, 1.0], 10)
    low, high = mean_interval(values)
    assert low < 0.5 < high
    assert high - low == pytest.approx(2 * 1.96 * 0.5 / np.sqrt(20), rel=0.2)
    narrow = mean_interval(np.tile([0.0, 1.0], 200))
    assert narrow[1] - narrow[0] < (high - low) / 3


def test_weights_count():
    assert mean_interval(np.array([1.0, 0.0, 1.0]), np.array([1.0, 1e-9, 1.0]))[1] == pytest.approx(1.0)
    assert mean_interval(np.array([0.25, 0.25])) == (0.25, 0.25)


def test_one_clip_has_no_interval():
    assert mean_interval(np.array([0.5])) is None

import cv2
import numpy as np
import pytest

from rufous.data.coding_traces import CodingTraces, coding_traces


def traces(luma: np.ndarray) -> CodingTraces:
    pixels = luma.astype(np.float32)
    return coding_traces(pixels, cv2.blur(pixels, (5, 5)), span=5)


def ramp(step: int = 1, slope: float = 0.2) -> np.ndarray:
    """A soft slope, rounded to every so-manieth level."""
    x = 40 + slope * np.arange(320, dtype=np.float32)
    return np.tile(np.round(x / step) * step, (160, 1))


def test_a_slope_that_rounding_alone_has_touched_has_no_steps():
    assert traces(ramp()).steps < 0.01
    assert traces(ramp()).slope == pytest.approx(0.2, rel=0.1)


def test_a_slope_that_was_gathered_into_steps_has_them_and_no_more_slope():
    found = [traces(ramp(step)) for step in (1, 3, 6)]
    assert found[0].steps < found[1].steps < found[2].steps
    assert found[2].slope < 1.6 * found[0].slope
    smooth = cv2.blur(ramp(6), (5, 5))
    assert np.sqrt((np.diff(smooth, axis=1) ** 2).mean()) > 2 * found[0].slope


def test_patches_on_a_slope_are_bands_and_uneven():
    even, patched = ramp(slope=0.05), ramp(slope=0.05)
    patched[32:64, 64:96] += 3
    assert traces(patched).bands > 1.1 * traces(even).bands
    assert traces(patched).unevenness > traces(even).unevenness + 0.02


def test_edges_of_things_are_no_traces():
    things = np.full((160, 320), 40.0)
    things[48:112, 80:240] = 200.0
    found = traces(things)
    assert found.slope > 5
    assert found.steps < 0.01 * found.slope


def test_white_noise_is_hardly_taken_for_steps():
    noise = 128 + 3 * np.random.default_rng(0).standard_normal((160, 320))
    assert traces(noise).steps < 0.5 * traces(noise).slope


@pytest.mark.parametrize("shape", [(1, 1), (15, 40), (16, 16), (40, 17)])
def test_small_pictures_have_finite_traces(shape):
    found = traces(np.random.default_rng(1).uniform(0, 255, shape))
    assert all(np.isfinite([found.slope, found.steps, found.bands, found.unevenness]))

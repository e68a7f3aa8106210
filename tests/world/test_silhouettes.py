import numpy as np
import pytest

from rufous.world.shapes import SHAPES, sample_field
from rufous.world.silhouettes import TURN_PERIODS_DEG, Silhouette, measure_silhouette

SIDE = 64


def cover(shape: str, *, x=0.0, y=0.0, radius=0.15, angle=0.0) -> np.ndarray:
    """Opacity of one antialiased shape; lengths in shorter sides from the middle, radians clockwise."""
    axis = (np.arange(SIDE) + 0.5) / SIDE - 0.5
    dx, dy = np.meshgrid((axis - x) / radius, (axis - y) / radius)
    cos, sin = np.cos(angle), np.sin(angle)
    distance = sample_field(shape, cos * dx + sin * dy, cos * dy - sin * dx)
    return np.clip(0.5 - distance * radius * SIDE, 0, 1).astype(np.float32)


def silhouette_of(*frames: np.ndarray) -> Silhouette:
    alpha = np.stack(frames)
    return measure_silhouette(alpha, alpha > 0.45)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_is_recognised_at_any_angle_and_size(shape):
    angles = np.radians([0, 17, 33, 58, 101, 160])
    for radius in (0.09, 0.14, 0.21):
        found = silhouette_of(*[cover(shape, radius=radius, angle=angle) for angle in angles])
        assert (found.shape, found.doubt) == (shape, None)
        assert found.correlation > 0.95
        assert found.radius == pytest.approx(np.full(6, radius), rel=0.03)


@pytest.mark.parametrize("shape", TURN_PERIODS_DEG)
def test_the_angle_turns_as_the_shape_does(shape):
    turned = np.radians(np.arange(8) * 13.0)
    angle = silhouette_of(*[cover(shape, angle=a) for a in turned]).angle
    assert angle - angle[0] == pytest.approx(turned, abs=np.radians(3))


@pytest.mark.parametrize("shape", ["circle", "ring"])
def test_a_round_shape_has_no_angle(shape):
    assert not silhouette_of(cover(shape), cover(shape, x=0.1)).angle.any()


def test_the_place_is_the_centroid_in_shorter_sides_from_the_middle():
    places = [(-0.2, 0.1), (0.0, 0.0), (0.05, -0.25)]
    found = silhouette_of(*[cover("heart", x=x, y=y) for x, y in places])
    assert np.stack([found.x, found.y], axis=1) == pytest.approx(np.array(places), abs=0.003)


def test_absent_frames_have_no_place_and_cut_ones_are_not_whole():
    found = silhouette_of(cover("square"), np.zeros((SIDE, SIDE), np.float32), cover("square", x=0.45))
    assert found.present.tolist() == [True, False, True]
    assert found.whole.tolist() == [True, False, False]
    assert np.isnan([found.x[1], found.y[1], found.radius[1]]).all()
    assert found.shape == "square"


def test_a_blob_that_is_no_shape_of_the_world_has_no_name():
    blob = np.zeros((SIDE, SIDE), np.float32)
    blob[20:24, 10:54] = blob[20:54, 10:14] = 1
    found = silhouette_of(*[blob] * 4)
    assert found.shape is None
    assert found.doubt is not None
    assert "no shape fits" in found.doubt


@pytest.mark.parametrize(("first", "then"), [("star", "square"), ("circle", "triangle"), ("cross", "ring")])
def test_a_shape_that_becomes_another_has_no_name(first, then):
    found = silhouette_of(*[cover(first)] * 8, *[cover(then)] * 8)
    assert found.shape is None
    assert found.doubt is not None

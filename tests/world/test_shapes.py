import numpy as np
import pytest

from rufous.world.shapes import FIELD_HALF_WIDTH, SHAPES, distance_field, extent, outline, sample_field


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_has_the_area_of_the_unit_disc_and_its_centroid_at_the_origin(shape):
    axis = np.linspace(-2, 2, 801)
    x, y = np.meshgrid(axis, axis)
    inside = sample_field(shape, x, y) < 0
    assert inside.mean() * 16 == pytest.approx(np.pi, rel=0.01)
    assert abs(x[inside].mean()) < 0.01
    assert abs(y[inside].mean()) < 0.01


@pytest.mark.parametrize("shape", SHAPES)
def test_no_outline_leaves_the_field(shape):
    assert extent(shape) < 2 < FIELD_HALF_WIDTH


@pytest.mark.parametrize("shape", SHAPES)
def test_the_distance_is_zero_on_the_outline_and_changes_by_one_a_unit(shape):
    points = outline(shape)
    assert np.abs(sample_field(shape, points[:, 0], points[:, 1])).max() < 0.03
    slope = np.hypot(*np.gradient(distance_field(shape), 2 * FIELD_HALF_WIDTH / 320))
    assert np.median(slope) == pytest.approx(1, abs=0.01)


def test_fields_are_shared_and_read_only():
    assert distance_field("star") is distance_field("star")
    assert not distance_field("star").flags.writeable


def test_points_beyond_the_field_are_outside():
    assert (sample_field("circle", np.array([9.0]), np.array([-9.0])) > 1).all()


def test_an_unknown_shape_is_refused():
    with pytest.raises(ValueError, match="shape='pear' is unknown"):
        outline("pear")

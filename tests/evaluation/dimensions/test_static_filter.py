import pytest

from rufous.evaluation.dimensions.decoded_clip import DecodedClip
from rufous.evaluation.dimensions.flow import Flow
from rufous.evaluation.dimensions.static_filter import StaticFilter
from tests.evaluation.dimensions.grey_clips import by_level, constant, levels


def is_static(flow: Flow, clip: DecodedClip) -> bool:
    return StaticFilter(flow=flow).measure(clip).value == 1.0


def test_the_static_filter_counts_fast_pairs_and_looks_at_the_ends():
    assert is_static(constant(0.0), levels(*[0] * 16, size=256))
    few, many = [100, 100, *[0] * 14], [100, 100, 100, *[0] * 13]
    assert not is_static(by_level, levels(*many, size=256))
    # ends may lie 3 * 2 * 2 = 12 pixels apart: 100 is too far, 12 is not
    assert not is_static(by_level, levels(*few, size=256))
    assert is_static(by_level, levels(12, 12, *[0] * 14, size=256))
    assert not is_static(by_level, levels(13, 0, *[0] * 14, size=256))
    with pytest.raises(ValueError, match="static_filter needs 2 frames"):
        is_static(by_level, levels(1))

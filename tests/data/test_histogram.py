import re

import pytest

from rufous.data.histogram import histogram


def heights(svg: str) -> list[float]:
    return [float(found) for found in re.findall(r'height="([\d.]+)" fill', svg)]


def test_bars_are_as_high_as_their_counts():
    svg = histogram([0.0, 0.0, 0.0, 1.0], limits=[], title="t", num_bins=4)
    assert heights(svg) == [150.0, 0.0, 0.0, 50.0]
    assert svg.count("<line") == 1


def test_limits_are_drawn_at_their_place_even_beyond_the_values():
    svg = histogram([0.0, 1.0], limits=[2.0, 1.0], title="t", num_bins=4)
    lines = re.findall(r'x1="([\d.]+)" y1="-6"', svg)
    assert lines == ["560.0", "302.0"]
    assert heights(svg) == [150.0, 0.0, 150.0, 0.0]


def test_equal_values_have_a_bar_and_titles_are_escaped():
    svg = histogram([3.0, 3.0], limits=[], title="<b>")
    assert max(heights(svg)) == 150.0
    for near in ([0.0, 0.0], [1e-12, 2e-12], [0.3, 0.1 + 0.2], [1e9, 1e9 + 1e-6]):
        assert max(heights(histogram(near, limits=[near[0]], title="t"))) == 150.0
    assert "<b>" not in svg
    with pytest.raises(ValueError, match="needs a value"):
        histogram([], limits=[1.0], title="t")

from xml.etree import ElementTree

import pytest

from rufous.evaluation.charts import bars, radar

VALUES = {"a_row": 0.5, "b & c": 1.0, "d": None, "e": 2.0}


def shapes(text: str, kind: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(text).iter("{http://www.w3.org/2000/svg}" + kind))


def test_a_radar_has_a_polygon_for_each_series_and_stays_inside():
    drawn = radar({"one": VALUES, "two": dict.fromkeys(VALUES, 0.25)}, title="x < y")
    polygons = shapes(drawn, "polygon")
    assert len(polygons) == 4 + 2
    assert polygons[4].get("points") == "0.0,-65.0 130.0,-0.0 -130.0,0.0"
    assert [text.text for text in shapes(drawn, "text")] == ["a row", "b & c", "d", "e"]


def test_bars_have_lengths_numbers_and_whiskers():
    drawn = bars({"one": VALUES}, title="bars", intervals={"a_row": [0.25, 0.75], "d": None})
    assert [float(bar.get("width")) for bar in shapes(drawn, "rect")] == [180.0, 360.0, 360.0]
    assert "2.0000" in [text.text for text in shapes(drawn, "text")]
    assert len(shapes(drawn, "line")) == 2


def test_too_few_rows_for_a_radar_are_refused():
    with pytest.raises(ValueError, match="1 series over 2 rows"):
        radar({"one": {"a": 0.1, "b": 0.2}}, title="")

from xml.etree import ElementTree

import pytest

from rufous.core.bar_chart import MARKED, PANEL_PX, PLAIN, Bars, bar_chart


def test_bars_are_as_long_as_their_values_and_marked_ones_have_their_colour():
    chart = bar_chart(
        ["first", "a < b & c"],
        [
            Bars(title="change", values=[1.0, 4.0]),
            Bars(title="root", values=[1.0, 4.0], has_root_scale=True),
            Bars(title="none", values=[0.0, 0.0]),
        ],
        marked=[True, False],
        mark="removed",
    )
    root = ElementTree.fromstring(chart)
    space = "{http://www.w3.org/2000/svg}"
    bars = root.findall(f"{space}rect")[2:]
    assert [float(bar.get("width", "")) for bar in bars] == [
        *(PANEL_PX / 4, PANEL_PX),
        *(PANEL_PX / 2, PANEL_PX),
        *(0.0, 0.0),
    ]
    assert [bar.get("fill") for bar in bars] == [MARKED, PLAIN] * 3
    texts = [text.text for text in root.findall(f"{space}text")]
    assert {"first", "a < b & c", "change", "removed", "4"} <= set(texts)


def test_large_values_are_told_without_an_exponent():
    bars = Bars(title="seconds", values=[2458.4, 999.4, 0.01234])
    chart = bar_chart(["a", "b", "c"], [bars], marked=[False] * 3, mark="-")
    texts = {text.text for text in ElementTree.fromstring(chart).iter("{http://www.w3.org/2000/svg}text")}
    assert {"2,458", "999", "0.0123"} <= texts


def test_panels_of_another_length_are_refused():
    with pytest.raises(ValueError, match="2 labels need as many values"):
        bar_chart(["a", "b"], [Bars(title="x", values=[1.0])], marked=[False, False], mark="removed")
    with pytest.raises(ValueError, match="labels need"):
        bar_chart(["a"], [], marked=[False], mark="removed")

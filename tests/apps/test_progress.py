"""Progress and timings."""

import pytest

from rufous.apps.progress import step_bar, timed, timing_line


def test_times_add_up_even_when_the_block_fails():
    seconds: dict[str, float] = {"load": 1.0}
    with pytest.raises(KeyError), timed(seconds, "load"):
        raise KeyError
    assert seconds["load"] > 1.0


def test_the_line_ends_with_the_total():
    assert timing_line({"import": 1.25, "load": 0.5}) == "import 1.25 s, load 0.50 s, total 1.75 s"


def test_an_invisible_bar_writes_nothing(capsys: pytest.CaptureFixture[str]):
    with step_bar(2, visible=False) as advance:
        advance("clip 1 of 1")
    assert capsys.readouterr() == ("", "")

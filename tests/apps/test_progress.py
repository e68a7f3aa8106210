"""Progress and timings."""

import io

import pytest
from rich.console import Console
from rich.progress import Progress as Bar
from rich.progress import TimeRemainingColumn

from rufous.apps import progress
from rufous.apps.progress import count_bar, step_bar, timed, timing_line


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


def test_a_bar_may_leave_the_time_that_is_left_to_its_labels(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(progress, "Console", lambda **_: Console(file=io.StringIO(), force_terminal=True))
    shown = []
    monkeypatch.setattr(progress, "Progress", lambda *a, **k: shown.append(a) or Bar(*a, **k))
    for tells_eta in (True, False):
        with count_bar(2, visible=True, what="curate", tells_eta=tells_eta):
            pass
    assert [any(isinstance(each, TimeRemainingColumn) for each in columns) for columns in shown] == [
        True,
        False,
    ]


def test_a_bar_follows_passes_of_other_lengths(monkeypatch: pytest.MonkeyPatch):
    shown = io.StringIO()
    monkeypatch.setattr(progress, "Console", lambda **_: Console(file=shown, force_terminal=True, width=100))
    bars = []
    monkeypatch.setattr(progress, "Progress", lambda *a, **k: bars.append(Bar(*a, **k)) or bars[0])
    with count_bar(2, visible=True, what="curate") as show:
        for done in (1, 2):
            show("first pass", done, 2)
        assert bars[0].tasks[0].finished
        show("second pass", 1, 5)
        task = bars[0].tasks[0]
        assert (task.completed, task.total, task.finished) == (1, 5, False)
    assert "1/5" in shown.getvalue()

"""``rufous bench``: rows in order, failures told, files written, and what is refused."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from rufous.apps import bench, bench_child
from rufous.apps.cli import run
from rufous.checkpoints import embedded_models
from rufous.evaluation.benchmark import machine
from rufous.evaluation.benchmark.children import EXPECTED, ChildFailure, reason_of


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch):
    """Children's work is done here, which spares a second of imports for each."""
    jobs = {"row": bench_child.measure_row, "machine": bench_child.measure_this_machine}

    def ask(job: str, values: dict[str, Any]) -> Any:
        try:
            return json.loads(json.dumps(jobs[job]({"started_s": 0.0, "values": values})))
        except EXPECTED as error:
            return ChildFailure(reason=reason_of(error), message=str(error))

    monkeypatch.setattr(bench, "_ask_child", ask)
    monkeypatch.setattr(bench, "PEAK_S", 0.001)
    monkeypatch.setattr(bench, "QUICK_PEAK_S", 0.001)
    monkeypatch.setattr(machine, "_CPU_SIDES", (16,))
    monkeypatch.setattr(machine, "_CPU_COPY_BYTES", 4096)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_rows_are_measured_in_order_and_written_in_three_ways(
    in_this_process, folder: Path, tiny_release: Path, capsys: pytest.CaptureFixture[str]
):
    rows = [f"{tiny_release}:label=b,steps=2", f"{tiny_release}:label=a"]
    assert run(["bench", *rows, "--quick", "--frames", "2", "--device", "cpu", "--dtype", "fp32"]) == 0
    captured = capsys.readouterr()
    report = json.loads((folder / "bench" / "results.json").read_text())
    assert [row["name"] for row in report["rows"]] == ["b", "a"]
    assert [row["plan"]["num_inference_steps"] for row in report["rows"]] == [2, 4]
    assert {row["plan"]["num_frames"] for row in report["rows"]} == {2}
    assert all(len(row["warm_s"]["denoise"]) == 2 for row in report["rows"])
    assert report["machine"]["dtype"] == "fp32"
    assert report["date"].endswith("+00:00")
    page = (folder / "bench" / "results.md").read_text()
    assert page.strip() == captured.out.strip()
    assert page.index("`b`") < page.index("`a`")
    ElementTree.parse(folder / "bench" / "results.svg")
    assert "row 2 of 2: a: " in captured.err
    assert run(["bench", rows[0], "--quick", "--json", "-q", "--device", "cpu", "--how", "calls"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["rows"][0]["how"] == "calls"
    assert captured.err == ""


def test_a_row_that_does_not_fit_the_memory_is_told_and_the_others_are_measured(
    in_this_process,
    folder: Path,
    tiny_release: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    real = bench._ask_child

    def ask(job: str, values: dict[str, Any]) -> Any:
        if job == "row" and values["row"]["name"] == "huge":
            return ChildFailure(reason="out of memory", message="it was too large", peak_bytes=10**9)
        return real(job, values)

    monkeypatch.setattr(bench, "_ask_child", ask)
    rows = [f"{tiny_release}:label={name}" for name in ("huge", "small")]
    assert run(["bench", *rows, "--quick", "--device", "cpu"]) == 1
    captured = capsys.readouterr()
    assert "* `huge`: out of memory: it was too large (at least 1.00 GB were in use)" in captured.out
    assert "1 of 2 rows failed" in captured.err
    report = json.loads((folder / "bench" / "results.json").read_text())
    assert [row["failed"] for row in report["rows"]] == [True, False]
    assert run(["bench", rows[0], "--quick", "-q", "--device", "cpu"]) == 1
    assert not (folder / "bench" / "results.svg").exists()  # that of the run before


def test_without_rows_the_embedded_model_and_the_lineup_are_meant():
    assert bench._what_to_measure([], None, quick=False) == (["world-student"], "table2")
    assert bench._what_to_measure([], None, quick=True) == (["world-student"], None)
    assert bench._what_to_measure(["x"], None, quick=False) == (["x"], None)
    assert bench._what_to_measure([], "table2", quick=True) == ([], "table2")


@pytest.mark.parametrize(
    ("options", "message", "code"),
    [
        (["--runs", "0"], "--runs 0 measures nothing: use 1 or more", 2),
        (["--how", "fast"], "--how 'fast' is unknown: use auto, clips, calls", 2),
        (["--limit", "0"], "--limit 0.0 is out of range", 2),
        (["--size", "17x16"], "width=17 does not fit this model: use a multiple of", 2),
        (["--frames", "0"], "num_frames=0 is out of range", 2),
        (["--dtype", "int3"], "dtype='int3' is unknown", 2),
        (["--device", "tpu"], "device='tpu' is not present", 2),
        (["no-such-release"], "no-such-release does not exist", 1),
        (["-o", "file.txt"], "--output file.txt is a file: name a folder", 2),
        (["-o", "."], "results.json exists: add --overwrite, or choose another --output", 2),
    ],
)
def test_bad_input_is_refused_in_one_line(
    options, message, code, in_this_process, folder: Path, tiny_release: Path, capsys
):
    (folder / "file.txt").write_text("x")
    (folder / "results.json").write_text("x")
    assert run(["bench", f"{tiny_release}", *options]) == code
    captured = capsys.readouterr()
    assert message in captured.err.splitlines()[-1]
    assert (folder / "results.json").read_text() == "x"


@pytest.mark.slow
@pytest.mark.skipif(not embedded_models(), reason="no embedded model in this checkout")
def test_a_quick_run_on_the_embedded_model_in_real_children(folder: Path):
    assert run(["bench", "--quick", "--how", "clips", "--device", "cpu"]) == 0
    (row,) = json.loads((folder / "bench" / "results.json").read_text())["rows"]
    assert (row["name"], row["how"]) == ("world-student", "clips")
    assert 100_000_000 < row["peak_resident_bytes"] < 2_000_000_000
    assert row["figures"]["cold_total_s"] > row["figures"]["total_s"]["median"]

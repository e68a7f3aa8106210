"""Children answer, fail, or are killed; the parent tells which."""

import ast
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from rufous.core.errors import MissingDependencyError
from rufous.evaluation.benchmark import children
from rufous.evaluation.benchmark.children import ChildFailure, answer_task, reason_of, run_child

ECHO = """
import json, sys
task = json.loads(sys.stdin.readline())
open(sys.argv[-1], "w").write(json.dumps({"answer": [task["job"], task["started_s"] > 0]}))
"""
SELF_KILLING = "import os, signal; x = bytearray(80_000_000); os.kill(os.getpid(), signal.SIG%s)"


def child(code: str):
    return run_child([sys.executable, "-c", code], {"job": "echo"}, env=os.environ)


def test_a_child_reads_its_task_and_answers():
    assert child(ECHO) == ["echo", True]


def test_a_child_that_the_system_kills_ran_out_of_memory():
    failure = child(SELF_KILLING % "KILL")
    assert isinstance(failure, ChildFailure)
    assert failure.reason == "out of memory"
    assert "memory ran out" in failure.message
    assert failure.peak_bytes is not None
    assert failure.peak_bytes > 80_000_000


def test_another_signal_and_a_crash_are_told_apart():
    ended, crashed = child(SELF_KILLING % "TERM"), child("import sys; sys.exit('no such thing')")
    assert (ended.reason, ended.message) == ("killed", "it was ended by SIGTERM")
    assert (crashed.reason, crashed.message) == ("failed", "exit code 1: no such thing")


def test_a_child_whose_parent_is_gone_ends(tmp_path: Path):
    source = Path(children.__file__).read_text()
    body = [node for node in ast.parse(source).body if getattr(node, "name", "") == "_end_with_the_parent"]
    code = "import os, threading, time\n" + ast.unparse(body[0]) + "\n_end_with_the_parent(); time.sleep(60)"
    orphan = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    with pytest.raises(subprocess.TimeoutExpired):
        orphan.wait(timeout=0.5)
    orphan.stdin.close()  # type: ignore[union-attr]
    assert orphan.wait(timeout=50) == 1


def test_a_failure_that_the_child_tells_comes_as_it_is():
    code = (
        'import sys; open(sys.argv[-1], "w").write(\'{"failure": {"reason": "refused", "message": "no"}}\')'
    )
    assert child(code) == ChildFailure(reason="refused", message="no")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), "out of memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ..."), "out of memory"),
        (ValueError("width=100 does not fit"), "refused"),
        (MissingDependencyError("pip install"), "refused"),
        (FloatingPointError("latents are not finite"), "failed"),
    ],
)
def test_an_exception_has_a_reason(error: BaseException, reason: str):
    assert reason_of(error) == reason


def test_the_childs_side_writes_an_answer_or_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("_offer_to_the_killer", "_end_with_the_parent"):
        monkeypatch.setattr(f"rufous.evaluation.benchmark.children.{name}", lambda: None)

    def refuse(task: dict) -> None:
        raise ValueError(f"no {task['values']}\nat all")

    for job, expected in (
        ("double", {"answer": 8}),
        ("refuse", {"failure": {"reason": "refused", "message": "no 4 at all"}}),
    ):
        monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps({"job": job, "values": 4})))
        monkeypatch.setattr(sys, "argv", ["child", str(tmp_path / "answer.json")])
        answer_task({"double": lambda task: 2 * task["values"], "refuse": refuse})
        assert json.loads((tmp_path / "answer.json").read_text()) == expected

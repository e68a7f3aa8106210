"""A piece of work in a process of its own, so that its memory is its own and its end is its own.

The parent writes JSON to the child's standard input, the child its answer to a file. The input stays open as
long as the parent lives, and the child ends with it. What the child did not
live to say, such as that the system killed it for its memory, the parent tells from how it ended.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from rufous.core.errors import CheckpointError, MissingDependencyError
from rufous.core.files import write_text

Reason = Literal["out of memory", "refused", "failed", "killed"]
EXPECTED = (ValueError, RuntimeError, ArithmeticError, MemoryError, OSError, ImportError, CheckpointError)
_NO_MEMORY = ("not enough memory", "can't allocate memory", "out of memory")


@dataclass(frozen=True, kw_only=True)
class ChildFailure:
    """Why a child has no answer."""

    reason: Reason
    message: str
    """One line."""
    peak_bytes: int | None = None
    """Resident memory of the child at its highest, as far as the system tells the parent."""


def run_child(command: Sequence[str], task: Mapping[str, Any], *, env: Mapping[str, str]) -> Any:
    """Run ``command`` with a task on its input, and return its answer or a ``ChildFailure``.

    Args:
        command: Program and arguments; the path of the answer's file is added as the last one.
        task: JSON values; ``started_s`` is added, which ``seconds_since_start`` reads.
        env: Whole environment of the child.
    """
    with tempfile.TemporaryDirectory(prefix="rufous-bench-") as folder:
        answer, errors = Path(folder) / "answer.json", Path(folder) / "stderr.txt"
        with errors.open("wb") as stderr:
            task = {**task, "started_s": time.monotonic()}
            child = subprocess.Popen(
                [*command, str(answer)], stdin=subprocess.PIPE, stdout=stderr, stderr=stderr, env=dict(env)
            )
            try:
                assert child.stdin is not None
                with contextlib.suppress(BrokenPipeError):
                    child.stdin.write(json.dumps(task).encode() + b"\n")
                    child.stdin.flush()
                _, status, usage = os.wait4(child.pid, 0)
                code = child.returncode = os.waitstatus_to_exitcode(status)
            finally:
                if child.returncode is None:
                    child.kill()
                    child.wait()
                with contextlib.suppress(BrokenPipeError):
                    child.stdin.close()  # type: ignore[union-attr]
        if answer.exists():
            found = json.loads(answer.read_text(encoding="utf-8"))
            return ChildFailure(**found["failure"]) if "failure" in found else found["answer"]
        peak = usage.ru_maxrss if sys.platform == "darwin" else usage.ru_maxrss * 1024
        return _silent_failure(code, errors.read_text(errors="replace"), peak)


def answer_task(jobs: Mapping[str, Callable[[dict[str, Any]], Any]]) -> None:
    """The child's side: read the task, do the job it names, write the answer or why there is none.

    Args:
        jobs: What this child can do, by the task's ``job``; each takes the task and returns JSON values.
    """
    task = json.loads(sys.stdin.readline())
    _end_with_the_parent()
    _offer_to_the_killer()
    try:
        found: dict[str, Any] = {"answer": jobs[task["job"]](task)}
    except EXPECTED as error:
        found = {"failure": {"reason": reason_of(error), "message": _one_line(error)}}
    write_text(sys.argv[-1], json.dumps(found))


def seconds_since_start(task: Mapping[str, Any]) -> float:
    """Seconds since the parent started this process, interpreter and imports included."""
    return time.monotonic() - task["started_s"]


def reason_of(error: BaseException) -> Reason:
    """What an exception says in one word."""
    text = str(error).lower()
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or any(each in text for each in _NO_MEMORY):
        return "out of memory"
    if isinstance(error, MissingDependencyError):
        return "refused"
    return "refused" if isinstance(error, ValueError) else "failed"


def _silent_failure(code: int, errors: str, peak_bytes: int) -> ChildFailure:
    """What a child that gave no answer died of."""
    if code == -signal.SIGKILL:
        message = "the system killed it, most likely since memory ran out: use a smaller clip or dtype"
        return ChildFailure(reason="out of memory", message=message, peak_bytes=peak_bytes)
    if code < 0:
        name = signal.Signals(-code).name
        return ChildFailure(reason="killed", message=f"it was ended by {name}", peak_bytes=peak_bytes)
    lines = [line for line in errors.splitlines() if line.strip()] or ["it said nothing"]
    return ChildFailure(
        reason="failed", message=f"exit code {code}: {lines[-1][:300]}", peak_bytes=peak_bytes
    )


def _end_with_the_parent() -> None:
    """A parent that was killed cannot end its child; the child sees that its input is closed."""

    def follow() -> None:
        while os.read(0, 4096):
            pass
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _offer_to_the_killer() -> None:
    """Where memory runs out, Linux ends this process before any other."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:500] or type(error).__name__

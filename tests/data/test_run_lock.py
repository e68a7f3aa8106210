import fcntl
import json
import os
import signal
import subprocess
import sys

import pytest

from rufous.data import run_lock
from rufous.data.run_lock import NAME, locked

HOLD = """
import sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
import importlib.util
spec = importlib.util.spec_from_file_location("run_lock", {file!r})
run_lock = importlib.util.module_from_spec(spec)
spec.loader.exec_module(run_lock)
with run_lock.locked(Path({folder!r})):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock."""
    file = sys.modules["rufous.data.run_lock"].__file__
    code = HOLD.format(root=".", file=file, folder=str(tmp_path / "out"))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_run_is_refused_and_told_who_holds_it(holder, tmp_path):
    told = f"is being written by process {holder.pid} on .*: wait for it, or choose another --output"
    with pytest.raises(RuntimeError, match=told), locked(tmp_path / "out"):
        pass


def test_the_lock_of_a_killed_run_stops_nobody(holder, tmp_path):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert json.loads((tmp_path / "out" / NAME).read_text())["pid"] == holder.pid
    with locked(tmp_path / "out"):
        assert json.loads((tmp_path / "out" / NAME).read_text())["pid"] == os.getpid()
    assert list((tmp_path / "out").iterdir()) == []


def test_a_run_that_fails_lets_go(tmp_path):
    with pytest.raises(KeyError), locked(tmp_path):
        raise KeyError
    with locked(tmp_path), pytest.raises(RuntimeError, match="is being written by process"), locked(tmp_path):
        pass


def test_a_lock_that_its_owner_deletes_meanwhile_is_not_taken_for_held(tmp_path, monkeypatch):
    """This run opens the file, then the other one ends and deletes it, and only then this one locks it."""
    real, opened = fcntl.flock, []

    def late(file, how):
        opened.append(file.name)
        if len(opened) == 1:
            (tmp_path / NAME).unlink()
        real(file, how)

    monkeypatch.setattr(run_lock.fcntl, "flock", late)
    with locked(tmp_path):
        assert len(opened) == 2
        with pytest.raises(RuntimeError, match="is being written by process"), locked(tmp_path):
            pass

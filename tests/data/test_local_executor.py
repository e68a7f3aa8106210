"""Real processes, real signals. Each worker imports torch, so these take a while on a slow machine."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from rufous.data.executor import DIED, Failure
from rufous.data.local_executor import LocalExecutor


@dataclass(frozen=True)
class Work:
    """Does what the task says."""

    log: str = ""

    def __call__(self, task: str) -> str:
        if self.log:
            with Path(self.log).open("a") as file:
                file.write(f"{os.getpid()} {task}\n")
        match task.split()[0]:
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "abort":
                os.abort()
            case "hang":
                time.sleep(600)
        return f"{task} done"


@dataclass(frozen=True)
class Unpicklable:
    """Cannot be made again in a worker."""

    def __call__(self, task: str) -> str:
        return task

    def __reduce__(self):
        return (os._exit, (7,))


@pytest.mark.slow
def test_a_worker_that_dies_or_hangs_loses_its_task_alone(tmp_path):
    executor = LocalExecutor(num_workers=2, timeout_s=20.0)
    tasks = ["a", "kill", "b", "abort", "c", "hang", "d", "e"]
    outcomes = dict(executor.run(tasks, Work(str(tmp_path / "log"))))
    assert set(outcomes) == set(tasks)
    wrong = {task: outcome for task, outcome in outcomes.items() if isinstance(outcome, Failure)}
    assert wrong == {
        "kill": Failure(reason=DIED),
        "abort": Failure(reason=DIED),
        "hang": Failure(reason="it took more than 20 s"),
    }
    assert {outcomes[name] for name in "abcde"} == {f"{name} done" for name in "abcde"}
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) == len(tasks)  # each once
    assert all(not alive(int(line.split()[0])) for line in lines)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_tasks_are_drawn_as_workers_become_free_and_workers_end_with_the_run(tmp_path):
    drawn = []

    def tasks():
        for name in "abcd":
            drawn.append(name)
            yield name

    outcomes = LocalExecutor(num_workers=1).run(tasks(), Work(str(tmp_path / "log")))
    assert next(outcomes) == ("a", "a done")
    assert drawn == ["a", "b"]
    outcomes.close()
    pids = {int(line.split()[0]) for line in (tmp_path / "log").read_text().splitlines()}
    assert not any(map(alive, pids))


class MoreLater:
    """One task, and two more as soon as its result was told."""

    def __init__(self) -> None:
        self.waiting = ["film"]

    def __iter__(self):
        return self

    def __next__(self) -> str:
        if not self.waiting:
            raise StopIteration
        return self.waiting.pop()

    def results_of(self, executor, work) -> list[str]:
        told = []
        for _, result in executor.run(self, work):
            told.append(result)
            if result == "film done":
                self.waiting = ["shot 2", "shot 1"]
        return told


@pytest.mark.slow
def test_tasks_that_a_result_brings_are_done_and_no_worker_starts_for_nothing(tmp_path):
    work = Work(str(tmp_path / "log"))
    told = MoreLater().results_of(LocalExecutor(num_workers=8), work)
    assert (told[0], sorted(told[1:])) == ("film done", ["shot 1 done", "shot 2 done"])
    lines = (tmp_path / "log").read_text().splitlines()
    assert len({line.split()[0] for line in lines}) <= 2


def test_no_tasks_start_no_worker(monkeypatch):
    monkeypatch.setattr("rufous.data.local_executor._Worker", lambda *_: pytest.fail("a worker was started"))
    assert list(LocalExecutor(num_workers=2).run([], Work())) == []


@pytest.mark.slow
def test_workers_that_do_not_come_up_end_the_run():
    with pytest.raises(RuntimeError, match="a worker did not start: it ended with exit code 7"):
        list(LocalExecutor(num_workers=1).run(["a"], Unpicklable()))


@pytest.mark.parametrize("has_gpu", [True, False])
def test_on_a_gpu_stages_that_need_it_have_workers_of_their_own_number(has_gpu, monkeypatch):
    """A GPU is made up; the processes would be real, and are counted before they start."""
    sizes = []

    class Counted:
        def __init__(self, _settings, _work, *, size):
            sizes.append(size)

        def run(self, tasks):
            return tasks

        def end(self):
            pass

    devices = ["cuda:0", "cpu"] if has_gpu else ["cpu"]
    monkeypatch.setattr("rufous.data.local_executor.available_devices", lambda: devices)
    monkeypatch.setattr("rufous.data.local_executor._Pool", Counted)
    executors = (LocalExecutor(num_workers=6), LocalExecutor(num_workers=6, gpu_workers=2))
    for executor in executors:
        assert executor.has_gpu_workers() is has_gpu
        for needs_gpu in (False, True):
            assert list(executor.run([], Work(), needs_gpu=needs_gpu)) == []
    assert sizes == ([6, 1, 6, 2] if has_gpu else [6] * 4)


@pytest.mark.slow
def test_one_process_does_all_work_for_a_gpu(tmp_path, monkeypatch):
    monkeypatch.setattr("rufous.data.local_executor.available_devices", lambda: ["cuda:0", "cpu"])
    log = tmp_path / "log"
    executor = LocalExecutor(num_workers=3)
    assert len(dict(executor.run("abcdef", Work(str(log)), needs_gpu=True))) == 6
    assert len({line.split()[0] for line in log.read_text().splitlines()}) == 1


@pytest.mark.parametrize(
    "values", [{"num_workers": 0}, {"num_workers": 1, "timeout_s": 0.0}, {"num_workers": 1, "gpu_workers": 0}]
)
def test_settings_that_cannot_be_are_refused(values):
    with pytest.raises(ValueError, match="must be at least 1"):
        LocalExecutor(**values)

"""A run that is killed, by SIGKILL and again and again, ends with the bits of an unbroken one."""

import multiprocessing
import random
import signal
import time

import pytest

from rufous.training.metrics import read_metrics
from rufous.training.resume import checkpoints
from tests.training.killed_run import STEPS, train_toy

PLACES = (
    "tensors half written",
    "before the manifest",
    "before the folder appears",
    "old checkpoint half deleted",
)


@pytest.fixture(scope="module")
def children():
    """A server that has imported torch once and forks a child for each attempt."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.training.killed_run"])
    return context


def wait_until(condition, child, timeout_s=60.0):
    end = time.monotonic() + timeout_s
    while not condition():
        assert child.is_alive(), f"the child ended by itself, with {child.exitcode}"
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.002)


def kill(child):
    child.kill()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    child.close()


def num_lines(run_dir):
    path = run_dir / "metrics.jsonl"
    return len(path.read_bytes().splitlines()) if path.exists() else 0


def without_speed(run_dir):
    return [
        {name: value for name, value in line.items() if name not in ("s_per_step", "samples_per_s")}
        for line in read_metrics(run_dir / "metrics.jsonl")
    ]


def test_a_run_killed_anywhere_ends_with_the_bits_of_an_unbroken_one(children, tmp_path):
    run_dir, frozen = tmp_path / "killed", tmp_path / "frozen"

    def start(place=None):
        child = children.Process(target=train_toy, args=(run_dir, frozen, place))
        child.start()
        return child

    chance = random.Random(0)
    for place in PLACES:
        child, before = start(), num_lines(run_dir)
        wait_until(lambda before=before: num_lines(run_dir) > before, child)
        time.sleep(chance.uniform(0.0, 0.05))
        kill(child)  # at a random moment
        child = start(place)
        wait_until(frozen.exists, child)
        frozen.unlink()
        kill(child)  # while a checkpoint is being written
    assert checkpoints(run_dir / "checkpoints")
    assert num_lines(run_dir) < STEPS, "the kills came too late to mean anything"

    child = start()
    child.join()
    assert child.exitcode == 0
    train_toy(tmp_path / "unbroken", frozen, None)
    first, second = (path / "checkpoints" for path in (run_dir, tmp_path / "unbroken"))
    assert not list(first.glob(".*")), "remains of killed processes were left"
    files = [path.relative_to(second) for path in second.rglob("*") if path.is_file()]
    assert sorted(files) == sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    for path in files:  # weights, EMA, optimiser, objective, generators, data position, manifest
        assert (first / path).read_bytes() == (second / path).read_bytes(), path
    assert without_speed(run_dir) == without_speed(tmp_path / "unbroken")

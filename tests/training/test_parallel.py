import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from rufous.training import parallel
from rufous.training.metrics import read_metrics
from rufous.training.resume import checkpoints
from tests.training.sharded_run import HALF, KINDS, STEPS, run

ROOT = Path(__file__).parents[2]


def start_rank(out, rank, port):
    """One of the two processes, with the environment that torchrun gives it."""
    ranks = {
        "RANK": rank,
        "LOCAL_RANK": rank,
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
    }
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **ranks}
    command = [sys.executable, "-m", "tests.training.sharded_run", str(out)]
    with open(out / f"errors-{rank}.txt", "w") as errors:
        return subprocess.Popen(command, env=environment, cwd=ROOT, stderr=errors)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


def run_two_ranks(out):
    port = free_port()
    processes = [start_rank(out, rank, port) for rank in ("0", "1")]
    try:
        for rank, process in enumerate(processes):
            assert process.wait(timeout=240) == 0, (out / f"errors-{rank}.txt").read_text()
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Each kind on one process, on two, begun by one and ended by two, and the other way round."""
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    states = {}
    for kind in KINDS:
        states[kind, "one"] = run(one / kind / "unbroken", STEPS, kind)
        run(two / kind / "grown", HALF, kind)
    run_two_ranks(two)
    for kind in KINDS:
        shutil.copytree(two / kind / "half", one / kind / "shrunk")
        states[kind, "loaded"] = run(one / kind / "shrunk", HALF, kind)
        states[kind, "shrunk"] = run(one / kind / "shrunk", STEPS, kind)
        for name in ("unbroken", "half", "grown"):
            states[kind, name] = load_file(two / f"{kind}-{name}.safetensors")
    states["adamw", "resumed"] = load_file(two / "adamw-resumed.safetensors")
    return SimpleNamespace(one=one, two=two, states=states)


def assert_close(first, second):
    assert first.keys() == second.keys()
    for key in first:
        torch.testing.assert_close(first[key], second[key], atol=1e-4, rtol=1e-4)


def measured(run_dir, name):
    return [line[name] for line in read_metrics(run_dir / "metrics.jsonl") if name in line]


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_have_the_loss_curve_of_one(runs, kind):
    for name, count in (("loss", STEPS), ("grad_norm", STEPS), ("mean", STEPS // 5)):
        one, two = (measured(out / kind / "unbroken", name) for out in (runs.one, runs.two))
        assert len(one) == len(two) == count
        assert two == pytest.approx(one, rel=1e-4)
    assert one[-1] != pytest.approx(one[0], rel=0.1)  # it did learn
    assert_close(runs.states[kind, "one"], runs.states[kind, "unbroken"])


def test_a_sharded_run_resumes_bit_for_bit(runs):
    unbroken, resumed = runs.states["adamw", "unbroken"], runs.states["adamw", "resumed"]
    assert all(torch.equal(unbroken[key], resumed[key]) for key in unbroken)


@pytest.mark.parametrize("kind", KINDS)
def test_one_process_loads_the_bits_that_two_have_saved(runs, kind):
    saved, loaded = runs.states[kind, "half"], runs.states[kind, "loaded"]
    assert saved.keys() == loaded.keys()
    assert all(torch.equal(saved[key], loaded[key]) for key in saved)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "place"), [("shrunk", "one"), ("grown", "two")])
def test_a_run_goes_on_with_another_number_of_processes(runs, kind, name, place):
    expected = measured(runs.one / kind / "unbroken", "loss")
    assert measured(getattr(runs, place) / kind / name, "loss") == pytest.approx(expected, rel=1e-4)
    assert_close(runs.states[kind, "one"], runs.states[kind, name])


def test_a_sharded_checkpoint_has_a_file_per_rank_and_no_pickle(runs):
    folder = checkpoints(runs.two / "adamw" / "unbroken" / "checkpoints")[-1]
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".safetensors"}
    assert len(list((folder / "sharded").glob("*.safetensors"))) == 2
    assert len(list(folder.glob("rank-*.safetensors"))) == 2


def test_a_single_process_needs_no_process_group(monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    module = nn.Linear(2, 2)
    with parallel.process_group("cpu") as mesh:
        parallel.shard(module, mesh)
        parallel.reshard(module)
        parallel.barrier()
    assert mesh is None
    assert (parallel.rank(), parallel.world_size()) == (0, 1)
    assert not parallel.is_sharded(module)
    assert parallel.on_any_rank([True, False], torch.device("cpu")) == [True, False]
    assert parallel.sum_over_ranks(torch.tensor([2.0])).item() == 2.0
    assert parallel.gathered((1, "two")) == [1, "two"]

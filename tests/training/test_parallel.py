import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from rufous.training import parallel
from rufous.training.metrics import read_metrics
from rufous.training.resume import checkpoints

SCRIPT = Path(__file__).with_name("sharded_run.py")


def start(out, environment):
    out.mkdir(exist_ok=True)
    root = str(Path(parallel.__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(out)], env=environment, stderr=subprocess.PIPE, text=True
    )


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same training on one process and on two."""
    out = tmp_path_factory.mktemp("runs")
    single, sharded = out / "single", out / "sharded"
    ranks = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    processes = [start(single, {})]
    processes += [start(sharded, {**ranks, "RANK": rank, "LOCAL_RANK": rank}) for rank in ("0", "1")]
    try:
        for process in processes:
            _, errors = process.communicate(timeout=240)
            assert process.returncode == 0, errors
    finally:
        for process in processes:
            process.kill()
    return single, sharded


@pytest.mark.slow
@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_two_sharded_processes_learn_what_one_process_does(runs, name):
    single, sharded = (load_file(out / f"{name}-unbroken.safetensors") for out in runs)
    assert single.keys() == sharded.keys()
    for key in single:
        torch.testing.assert_close(sharded[key], single[key], atol=1e-4, rtol=1e-4)
    lines = [read_metrics(out / name / "unbroken" / "metrics.jsonl") for out in runs]
    for measured in ("loss", "grad_norm", "mean"):
        one, two = ([line[measured] for line in run if measured in line] for run in lines)
        assert two == pytest.approx(one, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_a_sharded_run_resumes_bit_for_bit(runs, name):
    _, sharded = runs
    unbroken = load_file(sharded / f"{name}-unbroken.safetensors")
    resumed = load_file(sharded / f"{name}-resumed.safetensors")
    assert all(torch.equal(unbroken[key], resumed[key]) for key in unbroken)


@pytest.mark.slow
def test_a_sharded_checkpoint_has_a_file_per_rank_and_no_pickle(runs):
    folder = checkpoints(runs[1] / "adamw" / "unbroken" / "checkpoints")[-1]
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
    assert parallel.any_rank(True, torch.device("cpu"))
    assert parallel.sum_over_ranks(torch.tensor([2.0])).item() == 2.0

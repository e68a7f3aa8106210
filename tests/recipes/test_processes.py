import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import rufous
from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.release import load_component, verify_release
from rufous.recipes import processes
from rufous.recipes.processes import joined

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")


def test_one_process_shares_with_nobody(monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    network = nn.Linear(2, 2)
    with joined(CPU) as alone:
        assert alone.is_first
        assert alone.device == CPU
        assert alone.mesh is None
        assert alone.whole(network, lambda: nn.Linear(2, 2)) is network
        batches = alone.batches(range(8), torch.tensor, batch_size=3, seed=0, prefetch=0)
        with alone.first_alone():
            assert len(batches.take(1)[0]) == 3


def test_each_process_takes_its_share_of_the_batch(monkeypatch):
    monkeypatch.setattr(processes, "world_size", lambda: 2)
    with joined(CPU) as alone:
        batches = alone.batches(range(8), torch.tensor, batch_size=4, seed=0, prefetch=0)
        assert len(batches.take(1)[0]) == 2
        with pytest.raises(ValueError, match="batch_size=3 cannot be shared by 2 processes"):
            alone.batches(range(8), torch.tensor, batch_size=3, seed=0, prefetch=0)


def test_processes_share_what_is_measured_and_know_all_of_it(monkeypatch):
    assert processes.each_of(3, lambda own: [f"clip {index}" for index in own]) == [
        "clip 0",
        "clip 1",
        "clip 2",
    ]
    measured: list[list[int]] = []
    monkeypatch.setattr(processes, "rank", lambda: 1)
    monkeypatch.setattr(processes, "world_size", lambda: 2)
    others = [(0, "theirs 0"), (2, "theirs 2")]
    monkeypatch.setattr(processes, "gathered", lambda own: [*others, *own])
    found = processes.each_of(3, lambda own: measured.append(own) or [f"mine {index}" for index in own])
    assert measured == [[1, 0]]  # as many as the other has
    assert found == ["mine 0", "mine 1", "theirs 2"]


def test_small_networks_are_copied_and_large_ones_sharded(monkeypatch):
    called = []
    monkeypatch.setattr(processes, "replicate", lambda network, mesh: called.append("replicate"))
    monkeypatch.setattr(processes, "shard", lambda network, mesh, blocks, methods: called.append("shard"))
    with joined(CPU) as alone:
        alone.spread(nn.Linear(2, 2))
        monkeypatch.setattr(processes, "SHARDED_FROM", 6)
        alone.spread(nn.Linear(2, 2))
    assert called == ["replicate", "shard"]


def run_on_two_processes(module: str, out: Path, *, timeout_s: float) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*command, "-m", module, str(out)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_road_to_the_teacher_runs_on_two_processes(tmp_path):
    run_on_two_processes("tests.recipes.processes_run", tmp_path, timeout_s=240)
    for recipe, component in (("autoencoder", "autoencoder"), ("video_text", "video_text")):
        verify_release(tmp_path / recipe / "release")
        load_component(tmp_path / recipe / "release", component)
    assert (tmp_path / "teacher/clips/checkpoints/step-00000002/weights.safetensors").is_file()
    verify_release(tmp_path / "teacher" / "release")
    pipe = rufous.load(str(tmp_path / "teacher" / "release"), device="cpu")
    clip = pipe("a red circle moving left", generator=torch.Generator().manual_seed(0)).frames[0]
    assert clip.shape == (4, 3, 32, 32)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_whole_road_to_the_table_runs_on_two_processes(tmp_path):
    run_on_two_processes("tests.recipes.reproduce_run", tmp_path, timeout_s=560)
    stages = ("autoencoder", "video_text", "teacher", "pruned", "recovered", "few_steps", "feedback")
    for stage in stages:
        release = tmp_path / stage / "release"
        mark = json.loads((tmp_path / stage / "done.json").read_text())
        assert mark["manifest_id"] == verify_release(release).id
    for stage in ("recovered", "few_steps", "feedback"):
        newest = max((tmp_path / stage / "checkpoints").glob("step-*"))
        assert json.loads((newest / "state.json").read_text())["world_size"] == 2
    critic = next(each for each in Manifest.load(release).parents if each.role == "critic")
    assert critic.manifest_id == Manifest.load(tmp_path / "few_steps" / "critic").id
    rows = json.loads((tmp_path / "table.json").read_text())
    assert len(rows) == 9
    for row in rows:
        assert [len(right) for right in row["right_by_clip"].values()] == [2, 2]
        assert "seconds_per_clip" not in row  # the processes shared its clips

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import rufous
from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.release import load_component, verify_release
from rufous.core.errors import ConfigError
from rufous.data.manifest import read_manifest, write_manifest
from rufous.recipes import RECIPES
from rufous.recipes.curated import CuratedConfig
from rufous.recipes.curated_batches import CuratedDataConfig
from tests.recipes.conftest import CPU, unwanted
from tests.recipes.curated_set import settings, write_curated
from tests.tiny_release import TINY_UNET

ROOT = Path(__file__).parents[2]
run = RECIPES["curated"].run


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_curated(tmp_path_factory.mktemp("curated"))


def checkpoint(run_dir, step):
    return load_file(run_dir / f"checkpoints/step-{step:08d}" / "weights.safetensors")


def metrics(run_dir):
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line["loss"], line["grad_norm"]) for line in lines]


@pytest.mark.parametrize("cached", [False, True])
def test_a_resumed_run_gives_the_bits_of_an_unbroken_one(tiny_release, manifest, tmp_path, cached):
    assert TINY_UNET.temporal_dropout > 0  # which takes no generator
    cache = {"cache_dir": str(tmp_path / "cache")} if cached else {}
    release = run(settings(tiny_release, manifest, 6, **cache), tmp_path / "whole", CPU)
    run(settings(tiny_release, manifest, 3, prefetch=3, num_threads=2, **cache), tmp_path / "parts", CPU)
    run(settings(tiny_release, manifest, 6, prefetch=0, **cache), tmp_path / "parts", CPU)
    whole, parts = (checkpoint(tmp_path / name, 6) for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert metrics(tmp_path / "whole") == metrics(tmp_path / "parts")
    verify_release(release)
    assert Manifest.load(release).figures == {"steps": 6, "clips": 16}
    clip = rufous.load(release, device="cpu")("a red circle", generator=torch.Generator().manual_seed(0))
    assert clip.frames[0].shape == (4, 3, 16, 16)


def test_a_changed_manifest_is_refused_on_resume(tiny_release, manifest, tmp_path):
    other = tmp_path / "manifest.jsonl"
    clips = list(read_manifest(manifest))
    write_manifest(other, clips)
    run(settings(tiny_release, other, 1, root=str(manifest.parent)), tmp_path / "run", CPU)
    write_manifest(other, [clips[0].with_captions(original="a pink star"), *clips[1:]])
    with pytest.raises(ConfigError, match="clips_sha256 was"):
        run(settings(tiny_release, other, 2, root=str(manifest.parent)), tmp_path / "run", CPU)


def test_a_start_that_was_exchanged_between_two_calls_is_refused(
    tiny_release, manifest, tmp_path, monkeypatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copytree(tiny_release, tmp_path / "start")
    run(settings(Path("~/start"), manifest, 1), tmp_path / "run", CPU)
    replace(Manifest.load(tmp_path / "start"), notes=("another",)).save(tmp_path / "start")
    with pytest.raises(ConfigError, match=r"start\.manifest_id was"):
        run(settings(Path("~/start"), manifest, 2), tmp_path / "run", CPU)


def test_a_fresh_network_may_have_another_architecture(tiny_release, manifest, tmp_path):
    network = replace(TINY_UNET, model_channels=12)
    config = replace(settings(tiny_release, manifest, 1), fresh=True, network=network)
    release = run(config, tmp_path, CPU)
    assert load_component(release, "unet").config.model_channels == 12
    with pytest.raises(ValueError, match="fresh=False"):
        CuratedConfig(network=network)


def test_a_manifest_that_is_not_there_is_named_before_a_release_is_fetched(tmp_path, monkeypatch):
    monkeypatch.setattr("rufous.recipes.curated.find_release", unwanted)
    with pytest.raises(ValueError, match=r"none\.parquet"):
        run(CuratedConfig(data=CuratedDataConfig(manifest=str(tmp_path / "none.parquet"))), tmp_path, CPU)


def test_buckets_that_nothing_fills_are_an_error_before_any_step(tiny_release, manifest, tmp_path):
    config = settings(tiny_release, manifest, 1)
    large = replace(config.data.buckets, rules=(replace(config.data.buckets.rules[0], batch_size=64),))
    with pytest.raises(ValueError, match="16 clips fill no batch for each of 1 processes"):
        run(replace(config, data=replace(config.data, buckets=large)), tmp_path, CPU)
    assert not (tmp_path / "metrics.jsonl").exists()


@pytest.mark.slow
def test_two_processes_train_and_one_goes_on(tiny_release, manifest, tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    places = [str(each) for each in (tiny_release, manifest, tmp_path / "run", tmp_path / "cache")]
    done = subprocess.run(
        [*command, "-m", "tests.recipes.curated_run", *places],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    verify_release(tmp_path / "run" / "release")
    states = [
        json.loads((tmp_path / f"run/checkpoints/step-00000002/rank-0000{rank}.json").read_text())["batches"]
        for rank in (0, 1)
    ]
    assert states[0] == states[1]
    assert (states[0]["position"], states[0]["group"]) == (4, 2)
    run(settings(tiny_release, manifest, 3, cache_dir=places[3]), tmp_path / "run", CPU)
    state = json.loads((tmp_path / "run/checkpoints/step-00000003/rank-00000.json").read_text())["batches"]
    assert (state["position"], state["group"]) == (5, 2)

"""The child's two jobs, done here: a row of a release or of an architecture, and the machine."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from rufous.apps import bench_child
from rufous.apps.bench_child import measure_row, measure_this_machine, pipeline_workload
from rufous.core.config import from_json_dict, to_json_dict
from rufous.evaluation.benchmark import machine
from rufous.evaluation.benchmark.results import RowResult
from rufous.evaluation.benchmark.rows import Architecture, BenchmarkRow, ClipSettings, MachineJob, RowJob
from rufous.evaluation.benchmark.workload import STAGES
from rufous.pipelines import TextToVideoPipeline
from tests.pipelines.test_random_weights import LCM, TEXT
from tests.tiny_release import TINY_AUTOENCODER, TINY_UNET

ARCHITECTURE = Architecture(unet=TINY_UNET, autoencoder=TINY_AUTOENCODER, text_encoder=TEXT, diffusion=LCM)


def job(model: Any, **changes: Any) -> RowJob:
    row = BenchmarkRow(name="row", model=model, settings=changes.pop("settings", ClipSettings()))
    plain = RowJob(
        row=row, device="cpu", dtype="fp32", num_runs=2, how="auto", limit_s=600.0, flop_per_s=1e12
    )
    return replace(plain, **changes)


def measured(job: RowJob) -> RowResult:
    return from_json_dict(RowResult, measure_row({"started_s": 0.0, "values": to_json_dict(job)}))


def test_a_release_is_measured_by_whole_clips(tiny_release: Path):
    found = measured(job(str(tiny_release), settings=ClipSettings(num_frames=6)))
    assert (found.how, found.weights, found.plan.num_frames) == ("clips", "release", 6)
    assert {stage: len(found.warm_s[stage]) for stage in STAGES} == dict.fromkeys(STAGES, 2)
    assert all(found.cold_s[stage] > 0 for stage in STAGES)
    assert found.plan.passes_per_step == 2
    assert found.network_calls_per_step == 1
    assert found.tokens == {"latent": 6 * 4 * 4, "text": 24}
    assert found.peak_resident_bytes > 50_000_000
    assert found.peak_device_bytes is None
    if sys.platform == "linux":
        assert found.cold_peak_bytes is not None
        assert found.warm_peak_bytes is not None
        assert set(found.cold_peak_bytes) == set(found.warm_peak_bytes) == set(STAGES)
        assert 50_000_000 < max(found.warm_peak_bytes.values()) <= found.peak_resident_bytes
    assert found.import_s > 0


def test_an_architecture_is_measured_by_single_calls_where_clips_are_too_slow():
    found = measured(job(ARCHITECTURE, flop_per_s=1.0))
    assert (found.how, found.weights) == ("calls", "random weights")
    assert found.calls == {"text": 1, "denoise": 4, "decode": 1, "write": 1}  # its slices hold 8 frames
    assert found.plan.passes_per_step == 1
    assert found.parameters["unet"] == sum(
        each.numel()
        for each in bench_child.random_pipeline(
            unet=TINY_UNET,
            autoencoder=TINY_AUTOENCODER,
            text_encoder=TEXT,
            diffusion=LCM,
            name="same",
            device=torch.device("cpu"),
            dtype=torch.float32,
        ).unet.parameters()
    )


def test_single_calls_are_one_step_and_one_slice(tiny_pipeline: TextToVideoPipeline, tmp_path: Path):
    steps, decoded, stages = [], [], []
    unet, decode = tiny_pipeline.unet, tiny_pipeline.autoencoder.decode_video
    hook = unet.register_forward_pre_hook(lambda _, inputs: steps.append(inputs[0].shape))
    workload = pipeline_workload(
        tiny_pipeline, BenchmarkRow(name="x", model="x", settings=ClipSettings(num_frames=20)), tmp_path
    )
    object.__setattr__(
        tiny_pipeline.autoencoder, "decode_video", lambda x: decoded.append(x.shape) or decode(x)
    )
    try:
        workload.make_calls(stages.append)
    finally:
        hook.remove()
        object.__delattr__(tiny_pipeline.autoencoder, "decode_video")
    assert tuple(dict.fromkeys(stages)) == STAGES
    assert steps == [(2, 4, 20, 4, 4)]  # both passes of guidance in one call
    assert decoded == [(1, 4, 8, 4, 4)]
    assert workload.calls["decode"] == 3
    assert (
        workload.flop["denoise"]
        == tiny_pipeline.estimate(tiny_pipeline.resolve("a star", num_frames=20)).flop["denoise"]
    )
    assert not list(tmp_path.iterdir())


def test_a_clip_that_does_not_fit_the_memory_is_refused(tiny_release: Path):
    huge = ClipSettings(num_frames=1000, height=8192, width=8192)
    with pytest.raises(ValueError, match="1000 frames of 8192x8192 are predicted to need"):
        measured(job(str(tiny_release), settings=huge))


def test_the_machine_is_measured_in_the_childs_own_words(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "_CPU_SIDES", (16,))
    monkeypatch.setattr(machine, "_CPU_COPY_BYTES", 4096)
    values = to_json_dict(MachineJob(device="cpu", dtype="fp32", duration_s=0.001))
    assert measure_this_machine({"values": values})["device"] == "cpu"

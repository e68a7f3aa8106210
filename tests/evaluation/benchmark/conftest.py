"""Results with round numbers, so that what follows from them can be told by heart."""

from dataclasses import replace

import pytest

from rufous.evaluation.benchmark.machine import Machine, Peaks
from rufous.evaluation.benchmark.results import BenchmarkResults, RowFailure, RowResult
from rufous.evaluation.benchmark.workload import ClipPlan

PEAKS = Peaks(flop_per_s={"fp32": 1e9, "bf16": 2e9, "fp16": 1e9}, copy_bytes_per_s=1e9, load_average=0.5)


@pytest.fixture
def clips_row() -> RowResult:
    """Whole clips, two warm ones: 0.1 + 8 or 12 + 1.5 + 0.4 s."""
    return RowResult(
        name="small",
        weights="release",
        how="clips",
        plan=ClipPlan(
            num_frames=16,
            height=64,
            width=64,
            fps=8.0,
            num_inference_steps=4,
            guidance_scale=3.0,
            passes_per_step=2,
            solver="ddim",
        ),
        dtype="bf16",
        parameters={"unet": 5_000_000, "autoencoder": 1, "text_encoder": 1},
        tokens={"latent": 4096, "text": 24},
        flop={"text": 1e8, "denoise": 1e10, "decode": 3e9},
        calls={"text": 1, "denoise": 4, "decode": 16, "write": 1},
        network_calls_per_step=1,
        unet_bytes=500_000_000,
        import_s=2.0,
        load_s=3.0,
        cold_s={"text": 0.5, "denoise": 20.0, "decode": 2.0, "write": 0.5},
        warm_s={"text": (0.1, 0.1), "denoise": (8.0, 12.0), "decode": (1.5, 1.5), "write": (0.4, 0.4)},
        peak_resident_bytes=700_000_000,
        peak_device_bytes=None,
        cold_peak_bytes={"text": 400_000_000, "denoise": 700_000_000, "decode": 600_000_000, "write": 1},
        warm_peak_bytes={"text": 300_000_000, "denoise": 700_000_000, "decode": 600_000_000, "write": 1},
    )


@pytest.fixture
def calls_row(clips_row: RowResult) -> RowResult:
    """Single calls: 0.1 + 4 x 2 + 16 x 0.1 + 0.3 s."""
    return replace(
        clips_row,
        name="table2/large",
        weights="random weights",
        how="calls",
        cold_s={"text": 0.5, "denoise": 5.0, "decode": 0.2, "write": 0.5},
        warm_s={"text": (0.1,), "denoise": (2.0,), "decode": (0.1,), "write": (0.3,)},
        published_s=1.3,
    )


@pytest.fixture
def results(clips_row: RowResult, calls_row: RowResult) -> BenchmarkResults:
    """One row of each sort, and one that failed."""
    machine = Machine(
        device="cpu",
        device_name="Some CPU",
        dtype="bf16",
        cpu="Some CPU",
        cores=2,
        threads=1,
        memory_bytes=24_000_000_000,
        platform="Linux",
        python="3.11.7",
        rufous="0.1",
        torch="2.13.0",
        diffusers=None,
        variables={"OMP_NUM_THREADS": "1"},
        peaks=PEAKS,
    )
    return BenchmarkResults(
        date="2026-11-21T00:00:00+00:00",
        machine=machine,
        peaks_after=PEAKS,
        rows=(
            clips_row,
            RowFailure(
                name="table2/huge",
                weights="random weights",
                reason="out of memory",
                message="it was too large",
                peak_bytes=23_000_000_000,
            ),
            calls_row,
        ),
        left_out=("diffusers/modelscope: not installed",),
    )

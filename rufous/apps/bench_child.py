"""One piece of ``rufous bench`` in a process of its own: ``python -m rufous.apps.bench_child ANSWER.json``.

The task is read from standard input; see ``rufous.evaluation.benchmark.children``.
"""

import math
import tempfile
from pathlib import Path
from typing import Any

import torch

from rufous.apps.bench_rows import PROMPT, call_options, resolved
from rufous.core.config import from_json_dict, to_json_dict
from rufous.core.devices import DTYPES, clock_s, peak_resident_bytes
from rufous.evaluation.benchmark.children import answer_task, seconds_since_start
from rufous.evaluation.benchmark.diffusers_models import (
    clip_flop,
    diffusers_workload,
    import_classes,
    load_networks,
    write_timed,
)
from rufous.evaluation.benchmark.machine import measure_machine
from rufous.evaluation.benchmark.results import RowResult
from rufous.evaluation.benchmark.rows import (
    Architecture,
    BenchmarkRow,
    DiffusersArchitecture,
    MachineJob,
    RowJob,
)
from rufous.evaluation.benchmark.stage_memory import StageMemory
from rufous.evaluation.benchmark.workload import (
    STAGES,
    ClipPlan,
    OnStage,
    Seconds,
    Stage,
    Workload,
    choose_how,
    measure,
)
from rufous.networks.cost import parameter_bytes
from rufous.pipelines import TextToVideoPipeline, load
from rufous.pipelines.estimate import NETWORK_EFFICIENCY, check_memory
from rufous.pipelines.random_weights import random_pipeline
from rufous.pipelines.request import GenerationRequest
from rufous.video.frames import to_uint8


def measure_row(task: dict[str, Any]) -> dict[str, Any]:
    """Load one row's model, time it, and say what it took."""
    job = from_json_dict(RowJob, task["values"])
    if isinstance(job.row.model, DiffusersArchitecture):
        import_classes(job.row.model)
    import_s = seconds_since_start(task)
    device, dtype = torch.device(job.device), DTYPES[job.dtype]
    with tempfile.TemporaryDirectory(prefix="rufous-bench-") as folder:
        workload, load_s = _load(job.row, device, dtype, Path(folder))
        how = job.how
        if how == "auto":
            rate = job.flop_per_s * NETWORK_EFFICIENCY
            how = choose_how(workload, num_runs=job.num_runs, flop_per_s=rate, limit_s=job.limit_s)
        memory = StageMemory(device)
        cold, warm = measure(
            workload,
            how,
            num_runs=job.num_runs,
            limit_s=job.limit_s,
            on_stage=memory.begin,
            on_round_end=memory.end_round,
        )
    is_gpu = device.type == "cuda"
    result = RowResult(
        name=job.row.name,
        weights=job.row.weights,
        how=how,
        plan=workload.plan,
        dtype=job.dtype,
        parameters=dict(workload.parameters),
        tokens=dict(workload.tokens),
        flop={str(stage): value for stage, value in workload.flop.items()},
        calls={str(stage): count for stage, count in workload.calls.items()},
        network_calls_per_step=workload.network_calls_per_step,
        unet_bytes=workload.unet_bytes,
        import_s=import_s,
        load_s=load_s,
        cold_s={str(stage): cold[stage] for stage in STAGES},
        warm_s={str(stage): tuple(seconds[stage] for seconds in warm) for stage in STAGES},
        peak_resident_bytes=peak_resident_bytes() if is_gpu else memory.highest,
        peak_device_bytes=memory.highest if is_gpu else None,
        cold_peak_bytes=_by_name(memory.cold()),
        warm_peak_bytes=_by_name(memory.warm()),
        published_s=job.row.published_s,
    )
    return to_json_dict(result)


def measure_this_machine(task: dict[str, Any]) -> dict[str, Any]:
    """Describe the machine and measure its peaks."""
    job = from_json_dict(MachineJob, task["values"])
    return to_json_dict(measure_machine(job.device, job.dtype, duration_s=job.duration_s))


def _load(
    row: BenchmarkRow, device: torch.device, dtype: torch.dtype, folder: Path
) -> tuple[Workload, float]:
    """The row's workload, and the seconds it took to load or make its weights."""
    plan = _plan(resolved(row))
    if isinstance(row.model, DiffusersArchitecture):
        flop = clip_flop(row.model, plan)  # counted before, so that it is in no time
        start = clock_s(device)
        networks = load_networks(row.model, device=device, dtype=dtype)
        workload = diffusers_workload(row.model, plan, networks, flop, device=device, folder=folder)
        return workload, clock_s(device) - start
    start = clock_s(device)
    if isinstance(row.model, Architecture):
        parts = {
            part: getattr(row.model, part) for part in ("unet", "autoencoder", "text_encoder", "diffusion")
        }
        pipeline = random_pipeline(**parts, name=row.name, device=device, dtype=dtype)
    else:
        pipeline = load(Path(row.model), device=str(device), dtype=_name_of(dtype))
    load_s = clock_s(device) - start
    return pipeline_workload(pipeline, row, folder), load_s


def pipeline_workload(pipeline: TextToVideoPipeline, row: BenchmarkRow, folder: Path) -> Workload:
    """A pipeline of this project as a workload.

    Args:
        pipeline: Loaded.
        row: Its settings.
        folder: Where clips are written.

    Raises:
        ValueError: The settings do not fit the model, or its clips do not fit the memory.
    """
    options = call_options(row)
    request = pipeline.resolve(PROMPT, **options)
    estimate = pipeline.estimate(request)
    check_memory(estimate, request, pipeline.device)
    plan = _plan(request)
    autoencoder, text = pipeline.autoencoder.config, pipeline.text_encoder.config
    positions = plan.height * plan.width // autoencoder.vae_scale_factor_spatial**2
    one_call = request.sampling.guidance_in_one_call
    return Workload(
        make_clip=lambda on_stage: _make_clip(pipeline, plan, options, folder, on_stage),
        make_calls=lambda on_stage: _make_calls(pipeline, plan, options, folder, on_stage),
        calls={
            "text": 1,
            "denoise": plan.num_inference_steps,
            "decode": math.ceil(plan.num_frames / autoencoder.slice_frames),
            "write": 1,
        },
        plan=plan,
        network_calls_per_step=1 if one_call else plan.passes_per_step,
        flop={stage: estimate.flop[stage] for stage in ("text", "denoise", "decode")},
        parameters={
            part: sum(weight.numel() for weight in getattr(pipeline, part).parameters())
            for part in ("unet", "autoencoder", "text_encoder")
        },
        unet_bytes=parameter_bytes(pipeline.unet),
        tokens={"latent": plan.num_frames * positions, "text": text.context_length},
    )


def _make_clip(
    pipeline: TextToVideoPipeline, plan: ClipPlan, options: dict[str, Any], folder: Path, on_stage: OnStage
) -> Seconds:
    result = pipeline(PROMPT, generator=torch.Generator().manual_seed(0), on_stage=on_stage, **options)
    on_stage("write")
    return {**result.seconds, "write": write_timed(result.frames[0], plan, folder)}


@torch.no_grad()
def _make_calls(
    pipeline: TextToVideoPipeline, plan: ClipPlan, options: dict[str, Any], folder: Path, on_stage: OnStage
) -> Seconds:
    one_step = {**options, "num_inference_steps": 1, "output_type": "latent"}
    result = pipeline(PROMPT, generator=torch.Generator().manual_seed(0), on_stage=on_stage, **one_step)
    latents = result.frames[0][None, :, : pipeline.autoencoder.config.slice_frames]
    on_stage("decode")
    start = clock_s(pipeline.device)
    frames = to_uint8(pipeline.autoencoder.decode_video(latents))[0].transpose(0, 1)
    decode_s = clock_s(pipeline.device) - start
    on_stage("write")
    return {**result.seconds, "decode": decode_s, "write": write_timed(frames, plan, folder)}


def _by_name(peaks: dict[Stage, int] | None) -> dict[str, int] | None:
    return None if peaks is None else {str(stage): count for stage, count in peaks.items()}


def _plan(request: GenerationRequest) -> ClipPlan:
    weight, sampling = request.embedded_guidance_scale, request.sampling
    return ClipPlan(
        num_frames=request.num_frames,
        height=request.height,
        width=request.width,
        fps=request.written_fps,
        num_inference_steps=sampling.num_inference_steps,
        guidance_scale=sampling.guidance_scale if weight is None else weight + 1.0,
        passes_per_step=1 if sampling.guidance_scale == 1.0 else 2,
        solver=sampling.solver,
    )


def _name_of(dtype: torch.dtype) -> str:
    return next(name for name, each in DTYPES.items() if each is dtype)


if __name__ == "__main__":
    answer_task({"row": measure_row, "machine": measure_this_machine})

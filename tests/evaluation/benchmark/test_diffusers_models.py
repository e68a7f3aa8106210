"""diffusers' pipelines of toy size, with random weights, from token ids to a file."""

import warnings
from pathlib import Path

import pytest
import torch

from rufous.checkpoints.kinds import DiffusionConfig
from rufous.diffusion import SamplingConfig
from rufous.evaluation.benchmark.rows import DiffusersArchitecture
from rufous.evaluation.benchmark.workload import STAGES, ClipPlan, measure

pytest.importorskip("diffusers")
CPU = torch.device("cpu")
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 37,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 100,
    "projection_dim": 32,
}
AUTOENCODER = {
    "block_out_channels": (32, 64),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
}
MODELSCOPE = {
    "block_out_channels": (32, 64),
    "down_block_types": ("CrossAttnDownBlock3D", "DownBlock3D"),
    "up_block_types": ("UpBlock3D", "CrossAttnUpBlock3D"),
    "cross_attention_dim": 32,
    "attention_head_dim": 4,
    "layers_per_block": 1,
}
ANIMATEDIFF = {
    "block_out_channels": (32, 64),
    "down_block_types": ("CrossAttnDownBlockMotion", "DownBlockMotion"),
    "up_block_types": ("UpBlockMotion", "CrossAttnUpBlockMotion"),
    "cross_attention_dim": 32,
    "num_attention_heads": 4,
    "motion_num_attention_heads": 4,
    "layers_per_block": 1,
}


def architecture(pipeline: str, solver: str) -> DiffusersArchitecture:
    spacing = "lcm" if solver == "lcm" else "trailing"
    return DiffusersArchitecture(
        pipeline=pipeline,  # type: ignore[arg-type]
        diffusion=DiffusionConfig(
            sampling=SamplingConfig(solver=solver, num_inference_steps=2, timestep_spacing=spacing)  # type: ignore[arg-type]
        ),
        unet=MODELSCOPE if pipeline == "TextToVideoSDPipeline" else ANIMATEDIFF,
        autoencoder=AUTOENCODER,
        text_encoder=TEXT,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pipeline", "solver", "guidance", "dtype"),
    [
        ("TextToVideoSDPipeline", "ddim", 7.0, torch.float32),
        ("TextToVideoSDPipeline", "lcm", 1.0, torch.bfloat16),
        ("AnimateDiffPipeline", "lcm", 1.0, torch.float32),
    ],
)
def test_a_pipeline_is_timed_by_stage(
    pipeline: str, solver: str, guidance: float, dtype: torch.dtype, tmp_path: Path
):
    from rufous.evaluation.benchmark.diffusers_models import clip_flop, diffusers_workload, load_networks

    plan = ClipPlan(
        num_frames=4,
        height=16,
        width=32,
        fps=8.0,
        num_inference_steps=2,
        guidance_scale=guidance,
        passes_per_step=2 if guidance > 1 else 1,
        solver=solver,
    )
    model = architecture(pipeline, solver)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # diffusers' own
        flop = clip_flop(model, plan)
        networks = load_networks(model, device=CPU, dtype=dtype)
        workload = diffusers_workload(model, plan, networks, flop, device=CPU, folder=tmp_path)
        for how in ("clips", "calls"):
            cold, warm = measure(workload, how, num_runs=1, limit_s=600.0)
            assert all(cold[stage] > 0 and warm[0][stage] > 0 for stage in STAGES)
    assert {each.dtype for each in networks["unet"].parameters()} == {dtype}
    assert not [
        name for name, each in networks["unet"].named_parameters() if each.ndim > 1 and not each.any()
    ]
    assert workload.calls == {"text": 1, "denoise": 2, "decode": 4, "write": 1}
    assert workload.tokens == {"latent": 4 * 8 * 16, "text": 77}
    assert flop["denoise"] > flop["text"] > 0
    once = clip_flop(model, ClipPlan(**{**vars(plan), "num_inference_steps": 1}))
    assert flop["denoise"] == 2 * once["denoise"]
    assert not list(tmp_path.iterdir())

"""The line-up of Table 2 of the Hummingbird paper as architectures, and diffusers' pipelines of its class.

Random weights take the same time as trained ones. All clips have 16 frames of 512x320 pixels.

VideoLCM (arXiv:2312.09109) has ModelScope's U-Net (arXiv:2308.06571), which is VideoCrafter2's without the
frame rate; its guidance is distilled at one scale, so nothing is embedded and a step is one pass. AnimateLCM
has no row in our networks yet; diffusers' AnimateDiff with its shapes stands for it.

Source: arXiv:2503.18559, Table 2: fp16 on one AMD Instinct MI250. It does not say whether text, decoding and
writing are in its times, nor how VideoCrafter2's guidance was computed.
"""

from dataclasses import replace

from rufous.checkpoints.kinds import DiffusionConfig
from rufous.checkpoints.presets import HUMMINGBIRD_DIFFUSION, T2V_TURBO_V1_DIFFUSION, VIDEOCRAFTER2_DIFFUSION
from rufous.diffusion.sampling import SamplingConfig
from rufous.evaluation.benchmark.rows import Architecture, BenchmarkRow, DiffusersArchitecture
from rufous.networks.unet3d import (
    UNET_0_7B_GUIDED,
    UNET_0_9B_GUIDED,
    VIDEOCRAFTER2,
    VIDEOCRAFTER2_GUIDED,
)

MODELSCOPE_UNET = replace(VIDEOCRAFTER2, fps_conditioning=False)
VIDEOLCM_DIFFUSION = DiffusionConfig(
    sampling=SamplingConfig(solver="lcm", num_inference_steps=4, timestep_spacing="lcm")
)

TABLE_2: tuple[BenchmarkRow, ...] = (
    BenchmarkRow(
        name="table2/videolcm",
        model=Architecture(unet=MODELSCOPE_UNET, diffusion=VIDEOLCM_DIFFUSION),
        published_s=2.4,
    ),
    BenchmarkRow(
        name="table2/t2v-turbo",
        model=Architecture(unet=VIDEOCRAFTER2_GUIDED, diffusion=T2V_TURBO_V1_DIFFUSION),
        published_s=2.5,
    ),
    BenchmarkRow(
        name="table2/videocrafter2",
        model=Architecture(unet=VIDEOCRAFTER2, diffusion=VIDEOCRAFTER2_DIFFUSION),
        published_s=44.2,
    ),
    BenchmarkRow(
        name="table2/hummingbird-0.9b",
        model=Architecture(unet=UNET_0_9B_GUIDED, diffusion=HUMMINGBIRD_DIFFUSION),
    ),
    BenchmarkRow(
        name="table2/hummingbird-0.7b",
        model=Architecture(unet=UNET_0_7B_GUIDED, diffusion=HUMMINGBIRD_DIFFUSION),
        published_s=1.3,
    ),
)

_SD_AUTOENCODER = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
}
_MODELSCOPE = DiffusersArchitecture(
    pipeline="TextToVideoSDPipeline",
    diffusion=VIDEOLCM_DIFFUSION,
    unet={"cross_attention_dim": 1024, "attention_head_dim": 64},
    autoencoder=_SD_AUTOENCODER,
    text_encoder={  # OpenCLIP ViT-H/14 without its last block
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 23,
        "num_attention_heads": 16,
        "hidden_act": "gelu",
        "projection_dim": 1024,
    },
)
_ANIMATEDIFF = DiffusersArchitecture(
    pipeline="AnimateDiffPipeline",
    diffusion=VIDEOLCM_DIFFUSION,
    unet={"cross_attention_dim": 768, "use_motion_mid_block": False},
    autoencoder=_SD_AUTOENCODER,
    text_encoder={  # CLIP ViT-L/14
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "hidden_act": "quick_gelu",
        "projection_dim": 768,
    },
)
DIFFUSERS: tuple[BenchmarkRow, ...] = (
    BenchmarkRow(name="diffusers/modelscope-4-steps", model=_MODELSCOPE),
    BenchmarkRow(
        name="diffusers/modelscope-50-steps",
        model=replace(
            _MODELSCOPE,
            diffusion=DiffusionConfig(sampling=SamplingConfig(num_inference_steps=50, guidance_scale=12.0)),
        ),
    ),
    BenchmarkRow(name="diffusers/animatediff-4-steps", model=_ANIMATEDIFF, published_s=6.4),
)
LINEUPS: dict[str, tuple[BenchmarkRow, ...]] = {"table2": (*TABLE_2, *DIFFUSERS)}

"""How the published networks are sampled; facts of their releases, stored with every converted one."""

from dataclasses import replace

from rufous.checkpoints.kinds import DiffusionConfig
from rufous.diffusion.sampling import SamplingConfig
from rufous.diffusion.schedules import ScheduleConfig

_FEW_STEPS = SamplingConfig(solver="lcm", num_inference_steps=4, timestep_spacing="lcm")

VIDEOCRAFTER2_DIFFUSION = DiffusionConfig(
    schedule=ScheduleConfig(dynamic_rescale=0.7),
    sampling=SamplingConfig(
        solver="ddim",
        num_inference_steps=50,
        guidance_scale=12.0,
        eta=1.0,
        timestep_spacing="leading",  # 981, 961, .. 1
        final_level="first",
    ),
    fps=28.0,
    written_fps=10.0,
)
# stage 2 of both lines ran without the dynamic rescale
T2V_TURBO_V1_DIFFUSION = DiffusionConfig(sampling=_FEW_STEPS, embedded_guidance_scale=7.5, fps=16.0)
T2V_TURBO_V2_DIFFUSION = DiffusionConfig(sampling=_FEW_STEPS, embedded_guidance_scale=7.5, fps=8.0)
T2V_TURBO_V2_MG_DIFFUSION = replace(T2V_TURBO_V2_DIFFUSION, embedded_motion_weight=0.05)
HUMMINGBIRD_DIFFUSION = DiffusionConfig(sampling=_FEW_STEPS, embedded_guidance_scale=7.5, fps=8.0)

PRESETS = {
    "videocrafter2": VIDEOCRAFTER2_DIFFUSION,
    "t2v-turbo-v1": T2V_TURBO_V1_DIFFUSION,
    "t2v-turbo-v2": T2V_TURBO_V2_DIFFUSION,
    "t2v-turbo-v2-mg": T2V_TURBO_V2_MG_DIFFUSION,
    "hummingbird": HUMMINGBIRD_DIFFUSION,
}

"""Diffusion maths: noise schedules, what networks predict, guidance, solvers, sampling and losses.

* ``schedules`` - alpha, sigma and rescale at each timestep; variance preserving and rectified flow.
* ``timesteps`` - which timesteps inference and training visit, and the shift for large videos.
* ``prediction`` - network output to clean latents and noise, and back to a training target.
* ``denoiser`` - network + schedule + prediction type: what everything else sees.
* ``guidance`` - classifier-free guidance, its rescale, and the embedded guidance scale.
* ``solvers`` - one function per update rule, and the dict of them.
* ``sampling`` - the loop from noise to clean latents.
* ``consistency`` - boundary condition and distillation grid of consistency models.
* ``losses`` - losses with one value per sample, and their weights.
"""

from rufous.diffusion.denoiser import Denoiser
from rufous.diffusion.guidance import embed_guidance_scale
from rufous.diffusion.prediction import Prediction
from rufous.diffusion.sampling import Cancelled, SamplingConfig, sample
from rufous.diffusion.schedules import RectifiedFlowSchedule, ScheduleConfig, VPSchedule, make_schedule
from rufous.diffusion.solvers import SOLVERS

__all__ = [
    "SOLVERS",
    "Cancelled",
    "Denoiser",
    "Prediction",
    "RectifiedFlowSchedule",
    "SamplingConfig",
    "ScheduleConfig",
    "VPSchedule",
    "embed_guidance_scale",
    "make_schedule",
    "sample",
]

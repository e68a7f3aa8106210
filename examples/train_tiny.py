"""Train a tiny U-Net on random latents with the one training loop; interrupt it and run it again: it resumes.

python examples/train_tiny.py runs/tiny 20
"""

import sys

import torch

from rufous.core import Conditioning
from rufous.diffusion import Denoiser, ScheduleConfig, make_schedule
from rufous.distillation import DenoisingObjective, LatentBatch
from rufous.networks.unet3d import UNet3D, UNet3DConfig
from rufous.training import ShuffledBatches, TrainConfig, train

TINY = UNet3DConfig(
    model_channels=8, channel_mult=(1, 2), num_res_blocks=1, num_head_channels=4, norm_groups=4
)


def collate(clips: list[torch.Tensor]) -> LatentBatch:
    cond = Conditioning(prompt_embeds=torch.zeros(len(clips), 2, 1024), fps=torch.full((len(clips),), 8.0))
    return LatentBatch(latents=torch.stack(clips), cond=cond)


def main(run_dir: str, num_steps: str = "20") -> None:
    torch.manual_seed(0)  # the network's initial weights
    clips = list(torch.randn(32, 4, 4, 8, 8))
    denoiser = Denoiser(UNet3D(TINY), make_schedule(ScheduleConfig()))
    uncond = Conditioning(prompt_embeds=torch.zeros(1, 2, 1024))
    batches = ShuffledBatches(clips, collate, batch_size=4)
    config = TrainConfig(num_steps=int(num_steps), dtype="fp32", log_every=5)
    print(train(DenoisingObjective(denoiser, uncond), batches, config, run_dir=run_dir))


if __name__ == "__main__":
    main(*sys.argv[1:])

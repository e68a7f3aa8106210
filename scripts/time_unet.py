"""Time and peak memory of one forward of the full-size 0.7B U-Net with random weights.

python scripts/time_unet.py fp32
python scripts/time_unet.py bf16
"""

import sys
import time

import torch

from rufous.core.devices import DTYPES, peak_memory_bytes
from rufous.core.types import Conditioning
from rufous.networks.layers import store_channels_last
from rufous.networks.unet3d import UNET_0_7B_GUIDED, UNet3D


@torch.inference_mode()
def main(dtype: torch.dtype) -> None:
    """16 frames of 40x64 latents, 77 tokens: one clip of 320x512 pixels."""
    with torch.device("meta"):
        unet = UNet3D(UNET_0_7B_GUIDED)
    unet = store_channels_last(unet.to(dtype).to_empty(device="cpu").eval())
    for parameter in unet.parameters():
        parameter.normal_(0, 0.02)
    latents = torch.randn(1, 4, 16, 40, 64)
    cond = Conditioning(
        prompt_embeds=torch.randn(1, 77, 1024), fps=torch.tensor([8.0]), guidance_embeds=torch.randn(1, 256)
    )
    start = time.perf_counter()
    unet(latents, torch.tensor([500.0]), cond)
    seconds = time.perf_counter() - start
    print(f"{seconds:.1f} s, peak {peak_memory_bytes(torch.device('cpu')) / 2**30:.2f} GiB of memory")


if __name__ == "__main__":
    main(DTYPES[sys.argv[1]])

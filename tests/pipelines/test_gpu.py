"""The same release on a GPU: skipped where there is none."""

import pytest
import torch

from rufous.pipelines import load

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA or ROCm device"),
]


def test_a_clip_on_a_gpu_is_that_of_the_cpu(tiny_release):
    clips = [
        load(tiny_release, device=device, dtype="fp32")(
            "a red circle", output_type="latent", generator=torch.Generator().manual_seed(3)
        ).frames[0]
        for device in ("cpu", "cuda")
    ]
    error = (clips[0] - clips[1].cpu()).norm() / clips[0].norm()
    assert error < 1e-3


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_half_precision_gives_finite_clips(tiny_release, dtype):
    pipe = load(tiny_release, device="cuda", dtype=dtype)
    frames = pipe("a red circle", generator=torch.Generator().manual_seed(3)).frames[0]
    assert frames.dtype is torch.uint8
    assert frames.float().std() > 0

"""A pipeline of any architecture, made in place, generates a finite clip."""

from dataclasses import replace

import pytest
import torch

from rufous.checkpoints.kinds import DiffusionConfig
from rufous.core.errors import ConfigError
from rufous.diffusion import SamplingConfig
from rufous.networks.text_encoders import TextEncoderConfig
from rufous.pipelines import TextToVideoPipeline
from rufous.pipelines.random_weights import random_pipeline
from tests.tiny_release import TINY_AUTOENCODER, TINY_UNET

TEXT = TextEncoderConfig(vocab_size=514, context_length=77, width=8, heads=2, layers=2, embed_dim=8)
LCM = DiffusionConfig(
    sampling=SamplingConfig(solver="lcm", num_inference_steps=4, timestep_spacing="lcm"),
    num_frames=4,
    height=16,
    width=16,
)


def tiny(dtype: torch.dtype = torch.float32, text: TextEncoderConfig = TEXT) -> TextToVideoPipeline:
    return random_pipeline(
        unet=TINY_UNET,
        autoencoder=TINY_AUTOENCODER,
        text_encoder=text,
        diffusion=LCM,
        name="tiny",
        device=torch.device("cpu"),
        dtype=dtype,
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_generates_in_its_dtype(dtype: torch.dtype):
    pipeline = tiny(dtype)
    assert {each.dtype for each in pipeline.unet.parameters()} == {dtype}
    assert torch.get_default_dtype() is torch.float32
    result = pipeline("a star", generator=torch.Generator().manual_seed(0), output_type="latent")
    assert result.frames[0].shape == (4, 4, 4, 4)
    assert result.frames[0].isfinite().all()


def test_no_matrix_is_left_as_zeros_and_the_prompt_reads_as_many_tokens_as_the_published_one():
    pipeline = tiny()
    for part in (pipeline.unet, pipeline.autoencoder, pipeline.text_encoder):
        assert not [name for name, each in part.named_parameters() if each.ndim > 1 and not each.any()]
    ids, mask = pipeline.tokenizer.encode(["a red circle"], 77)
    assert ids.shape == (1, 77)
    assert int(mask.sum()) == 2 + len("aredcircle")  # start, a token for each letter, end


def test_parts_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="width of the text 16"):
        tiny(text=replace(TEXT, width=16))

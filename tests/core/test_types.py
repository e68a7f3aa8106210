import pytest
import torch

from rufous.core.types import Conditioning


def make(batch: int) -> Conditioning:
    return Conditioning(
        prompt_embeds=torch.randn(batch, 5, 8),
        prompt_mask=torch.ones(batch, 5, dtype=torch.bool),
        fps=torch.full((batch,), 8.0),
    )


def test_casting_leaves_masks_alone():
    cast = make(2).to("cpu", torch.bfloat16)
    assert cast.prompt_embeds.dtype is torch.bfloat16
    assert cast.prompt_mask.dtype is torch.bool
    assert cast.guidance_embeds is None


def test_parts_of_a_batch_join_to_the_whole():
    whole = make(5)
    joined = Conditioning.concatenate([whole[:2], whole[2:]])
    assert torch.equal(joined.prompt_embeds, whole.prompt_embeds)
    assert torch.equal(joined.fps, whole.fps)


def test_joining_needs_the_same_fields_in_every_part():
    with pytest.raises(ValueError, match="fps is set in some and None in others"):
        Conditioning.concatenate(
            [make(1), Conditioning(prompt_embeds=torch.randn(1, 5, 8), prompt_mask=make(1).prompt_mask)]
        )

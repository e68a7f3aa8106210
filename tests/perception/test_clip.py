from dataclasses import replace

import pytest
import torch

from rufous.checkpoints.matching import load_strictly
from rufous.core.errors import CheckpointError, ConfigError
from rufous.perception.clip import (
    CLIP,
    VIT_B_32,
    VIT_H_14,
    VIT_L_14,
    from_openclip_names,
    from_transformers_names,
)
from rufous.perception.preprocessing import Preprocessing
from rufous.perception.viclip import ViCLIP
from tests.perception.tiny_towers import (
    TINY_CLIP,
    TINY_VICLIP,
    TOKENIZER,
    frames,
    openclip_tensors,
    randomize,
)

PROMPTS = ["a red circle moving left", "a blue square"]


@pytest.fixture(scope="module")
def clip():
    return randomize(CLIP(TINY_CLIP))


def relative_error(ours, reference):
    return float((ours - reference).norm() / reference.norm())


@torch.no_grad()
def test_embeddings_equal_those_of_transformers(clip):
    """At the model's own size, where nothing is resized; the ids end as transformers expects."""
    from transformers import CLIPImageProcessor

    ids = torch.tensor([[1, 4, 5, 10, 0, 0, 0, 0], [1, 7, 6, 5, 9, 10, 0, 0]])  # 10 is its end token
    mask = torch.arange(8) < torch.tensor([[4], [6]])
    processor = CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}, do_convert_rgb=False
    )
    images = ((frames() + 1) * 127.5).byte()
    pixels = processor(images=list(images.numpy()), return_tensors="pt")["pixel_values"]
    published = clip.model(input_ids=ids, pixel_values=pixels)
    assert relative_error(clip.encode_image(images / 127.5 - 1), published.image_embeds) < 1e-5
    assert relative_error(clip.encode_text(ids, mask), published.text_embeds) < 1e-5


@torch.no_grad()
@pytest.mark.parametrize("quick_gelu", [True, False])
def test_openclip_weights_give_what_our_own_towers_give(quick_gelu):
    """Our text tower is checked against open_clip itself; the vision tower is a one-frame ViCLIP's."""
    text = replace(TINY_CLIP.text, quick_gelu=quick_gelu)
    single = ViCLIP(replace(TINY_VICLIP, text=text, num_frames=1))
    randomize(single).vision_encoder.temporal_positional_embedding.zero_()
    clip = CLIP(replace(TINY_CLIP, text=text))
    load_strictly(clip.model, from_openclip_names(openclip_tensors(single)), where="openclip")
    images = frames()
    expected = single.encode_video(images.unsqueeze(2))
    assert relative_error(clip.encode_image(images), expected) < 1e-5
    ids, mask = TOKENIZER.encode(PROMPTS, 8)
    assert relative_error(clip.encode_text(ids, mask), single.encode_text(ids, mask)) < 1e-5


def test_the_activation_shows():
    exact = randomize(CLIP(replace(TINY_CLIP, text=replace(TINY_CLIP.text, quick_gelu=False))))
    quick = randomize(CLIP(TINY_CLIP))
    assert not torch.allclose(exact.encode_image(frames()), quick.encode_image(frames()), atol=1e-4)


def test_names_that_are_not_openclips_are_named_by_a_strict_load(clip):
    tensors = openclip_tensors(ViCLIP(replace(TINY_VICLIP, num_frames=1)))
    tensors["visual.extra"] = tensors.pop("visual.proj")
    with pytest.raises(CheckpointError, match=r"1 missing, 1 unexpected[\s\S]*visual_projection\.weight"):
        load_strictly(clip.model, from_openclip_names(tensors), where="file.pt")


def test_old_files_of_transformers_lose_their_position_ids(clip):
    tensors = clip.model.state_dict()
    old = {**tensors, "text_model.embeddings.position_ids": torch.arange(8)[None]}
    assert from_transformers_names(old).keys() == tensors.keys()


@pytest.mark.parametrize(
    ("config", "count"), [(VIT_H_14, 986_109_441), (VIT_L_14, 427_616_513), (VIT_B_32, 151_277_313)]
)
def test_sizes_are_the_published_ones(config, count):
    with torch.device("meta"):
        network = CLIP(config)
    assert sum(parameter.numel() for parameter in network.parameters()) == count
    assert not network.model.vision_model.embeddings.position_ids.is_meta


def test_gradients_at_the_pixels_are_those_of_finite_differences(clip):
    double = CLIP(TINY_CLIP).double()
    double.load_state_dict(clip.state_dict())
    double.requires_grad_(False)
    images = (0.9 * frames(1)).double().requires_grad_()
    direction = frames(1, seed=1).double()
    goal = torch.randn(12, generator=torch.Generator().manual_seed(2), dtype=torch.float64)

    def value(pixels):
        return (double.encode_image(pixels) @ goal).sum()

    (gradient,) = torch.autograd.grad(value(images), images)
    step = 1e-5
    with torch.no_grad():
        numeric = (value(images + step * direction) - value(images - step * direction)) / (2 * step)
    assert float((gradient * direction).sum()) == pytest.approx(float(numeric), rel=1e-6)
    assert (gradient.abs() > 0).float().mean() > 0.99


def test_a_prompts_padding_is_never_read(clip):
    ids, mask = TOKENIZER.encode(PROMPTS, 8)
    other = torch.where(mask, ids, 5)
    torch.testing.assert_close(clip.encode_text(ids, mask), clip.encode_text(other, mask))


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="multiple of heads"):
        replace(TINY_CLIP, heads=5)
    with pytest.raises(ConfigError, match="size=30 does not fit this CLIP: use a multiple of patch_size=8"):
        replace(TINY_CLIP, preprocessing=Preprocessing(size=30))

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor

from rufous.core.config import from_json_dict, to_json_dict
from rufous.core.errors import ConfigError
from rufous.core.types import Conditioning
from rufous.networks import unet3d
from rufous.networks.unet3d import (
    UNET_0_7B,
    UNET_0_7B_GUIDED,
    UNET_0_9B,
    VIDEOCRAFTER2,
    StageInputs,
    UNet3D,
    UNet3DConfig,
    prunable_blocks,
    prunable_parts,
    stage_widths,
)

TINY = UNet3DConfig(
    model_channels=8,
    channel_mult=(1, 2),
    num_res_blocks=1,
    attention_resolutions=(2,),
    num_head_channels=8,
    cross_attention_dim=12,
    norm_groups=4,
)
FRAMED = replace(TINY, pooled_prompt=True, frame_embedding=True, skip_temporal_on_images=True)
TWO_BLOCKS = replace(TINY, num_res_blocks=2)
PUBLISHED = {"in_channels": 4, "num_head_channels": 64, "context_dim": 1024, "use_linear": True}
PUBLISHED |= {"temporal_conv": True, "use_relative_position": False, "temporal_length": 16}


def noisy(unet: UNet3D) -> UNet3D:
    """Every weight away from its initial zero, so that every path counts."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in unet.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return unet.eval()


def tiny_unet(config: UNet3DConfig = TINY) -> UNet3D:
    torch.manual_seed(0)
    return noisy(UNet3D(config))


def latents(batch: int = 2, frames: int = 3) -> Tensor:
    return torch.randn(batch, 4, frames, 4, 6, generator=torch.Generator().manual_seed(1))


def conditioning(batch: int = 2) -> Conditioning:
    generator = torch.Generator().manual_seed(2)
    return Conditioning(
        prompt_embeds=torch.randn(batch, 5, 12, generator=generator), fps=torch.full((batch,), 8.0)
    )


def run(unet: UNet3D, x: Tensor | None = None, cond: Conditioning | None = None) -> Tensor:
    x = latents() if x is None else x
    cond = conditioning(len(x)) if cond is None else cond
    with torch.no_grad():
        return unet(x, torch.full((len(x),), 500.0), cond)


@pytest.mark.parametrize(
    ("config", "count"),
    [
        (VIDEOCRAFTER2, 1_413_284_420),
        (UNET_0_9B, 945_127_300),
        (UNET_0_7B, 772_009_860),
        (UNET_0_7B_GUIDED, 772_091_780),
    ],
)
def test_presets_have_the_published_number_of_parameters(config, count):
    with torch.device("meta"):
        unet = UNet3D(config)
    assert sum(parameter.numel() for parameter in unet.parameters()) == count


def test_a_fresh_network_answers_zero_since_its_output_starts_at_zero():
    assert not run(UNet3D(TINY).eval()).any()


@pytest.mark.parametrize("frames", [1, 2, 7])
def test_any_number_of_frames_runs(frames):
    assert run(tiny_unet(), latents(frames=frames)).shape == (2, 4, frames, 4, 6)


def test_a_sample_does_not_depend_on_the_batch_it_is_in():
    unet, x, cond = tiny_unet(), latents(), conditioning()
    assert torch.allclose(run(unet, x, cond)[1:], run(unet, x[1:], cond[1:]), atol=1e-5)


def test_frames_see_one_another():
    unet, x = tiny_unet(), latents()
    changed = x.clone()
    changed[:, :, 2] += 1.0
    assert not torch.allclose(run(unet, x)[:, :, 0], run(unet, changed)[:, :, 0], atol=1e-4)


def test_slices_of_the_feed_forward_change_nothing(monkeypatch):
    unet = tiny_unet()
    whole = run(unet)
    monkeypatch.setattr(unet3d, "TOKENS_PER_SLICE", 7)
    assert torch.allclose(whole, run(unet), atol=1e-6)


def test_activation_checkpointing_changes_no_value_and_no_gradient():
    results = []
    for is_checkpointed in (False, True):
        unet = tiny_unet()
        unet.gradient_checkpointing = is_checkpointed
        x = latents().requires_grad_()
        value = unet(x, torch.tensor([10.0, 900.0]), conditioning())
        value.square().mean().backward()
        results.append((value, x.grad, unet.input_blocks[0][0].weight.grad))
    for plain, recomputed in zip(*results, strict=True):
        assert torch.allclose(plain, recomputed, atol=1e-6)


def test_every_parameter_of_a_trained_network_gets_a_gradient():
    config = replace(
        TINY, guidance_embed_dim=6, pooled_prompt=True, use_scale_shift_norm=True, frame_embedding=True
    )
    unet, cond = tiny_unet(config), replace(conditioning(), guidance_embeds=torch.randn(2, 6))
    unet(latents(), torch.tensor([10.0, 900.0]), cond).square().mean().backward()
    assert not [name for name, p in unet.named_parameters() if p.grad is None or not p.grad.any()]


def test_the_output_has_the_dtype_of_the_latents_and_the_work_that_of_the_weights():
    unet = tiny_unet()
    reference = run(unet)
    half = run(unet.bfloat16())
    assert half.dtype == torch.float32
    assert torch.linalg.vector_norm(half - reference) < 0.1 * torch.linalg.vector_norm(reference)


@pytest.mark.parametrize("field", ["prompt_embeds", "fps", "guidance_embeds"])
def test_a_missing_conditioning_field_is_named(field):
    unet = UNet3D(replace(TINY, guidance_embed_dim=6))
    cond = replace(conditioning(), guidance_embeds=torch.randn(2, 6))
    with pytest.raises(ValueError, match=f"cond.{field}"):
        run(unet, cond=replace(cond, **{field: None}))


def test_a_guidance_scale_that_would_be_ignored_is_refused():
    with pytest.raises(ValueError, match="this U-Net has no guidance_embed_dim"):
        run(tiny_unet(), cond=replace(conditioning(), guidance_embeds=torch.randn(2, 6)))


def test_sizes_and_channels_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="use multiples of 2"):
        run(tiny_unet(), torch.zeros(1, 4, 2, 5, 6))
    with pytest.raises(ValueError, match="use 4"):
        run(tiny_unet(), torch.zeros(1, 3, 2, 4, 6))


def test_masked_prompt_tokens_are_not_seen():
    unet, cond = tiny_unet(), conditioning()
    mask = torch.tensor([[True, True, True, False, False]]).expand(2, -1)
    short = Conditioning(prompt_embeds=cond.prompt_embeds[:, :3], fps=cond.fps)
    assert torch.allclose(run(unet, cond=replace(cond, prompt_mask=mask)), run(unet, cond=short), atol=1e-5)


@pytest.mark.parametrize("queries", [0, 3])
def test_a_pooled_prompt_counts_only_unmasked_tokens(queries):
    config = replace(TINY, pooled_prompt=True, prompt_queries=queries)
    unet, cond = tiny_unet(config), conditioning()
    mask = torch.tensor([[True, True, False, False, False]]).expand(2, -1)
    short = Conditioning(prompt_embeds=cond.prompt_embeds[:, :2], fps=cond.fps)
    assert torch.allclose(run(unet, cond=replace(cond, prompt_mask=mask)), run(unet, cond=short), atol=1e-5)


def test_options_beyond_the_published_ones_add_no_key_unless_they_hold_weights():
    published = set(UNet3D(TINY).state_dict())
    assert set(UNet3D(replace(TINY, temporal_position="sinusoidal")).state_dict()) == published
    added = set(UNet3D(replace(TINY, pooled_prompt=True)).state_dict()) - published
    assert {name.split(".")[0] for name in added} == {"prompt_pooling"}


def test_prompt_queries_tell_the_same_words_in_another_share_apart():
    unet, cond = tiny_unet(replace(TINY, pooled_prompt=True, prompt_queries=3)), conditioning()
    pooled = unet._pool_prompt(cond, torch.float32)
    assert pooled.shape == (2, 3 * 12)
    assert not torch.allclose(pooled[:, :12], pooled[:, 12:24], atol=1e-2)


def test_an_image_may_pass_the_temporal_layers_by_and_a_clip_may_not():
    published, skipping = (tiny_unet(replace(TINY, skip_temporal_on_images=skips)) for skips in (False, True))
    skipping.load_state_dict(published.state_dict())
    assert torch.equal(run(published), run(skipping))
    image = latents(frames=1)
    assert not torch.allclose(run(published, image), run(skipping, image), atol=1e-3)
    skipping(image, torch.tensor([3.0, 500.0]), conditioning()).sum().backward()
    idle = {name for name, parameter in skipping.named_parameters() if parameter.grad is None}
    temporal = [skipping.get_submodule("input_blocks.1.0.temopral_conv"), skipping.middle_block[2]]
    assert {id(p) for part in temporal for p in part.parameters()} <= {
        id(skipping.get_parameter(name)) for name in idle
    }
    assert all("temopral" in name or ".2." in name or "init_attn" in name for name in idle), idle


def test_a_temporal_position_tells_frames_apart():
    plain, placed = tiny_unet(), tiny_unet(replace(TINY, temporal_position="sinusoidal"))
    placed.load_state_dict(plain.state_dict())
    assert not torch.allclose(run(plain), run(placed), atol=1e-4)


@pytest.mark.parametrize("place", ["frame_indices", "clip_frames"])
def test_an_image_may_know_which_frame_of_a_clip_it_is(place):
    unet, image = tiny_unet(FRAMED), latents(frames=1)
    first = replace(
        conditioning(), frame_indices=torch.full((2, 1), 2.0), clip_frames=torch.tensor([16.0, 16.0])
    )
    other = replace(first, **{place: getattr(first, place) + 5.0})
    assert not torch.allclose(run(unet, image, cond=first), run(unet, image, cond=other), atol=1e-4)
    alone = replace(first, frame_indices=torch.zeros(2, 1), clip_frames=torch.ones(2))
    assert torch.equal(run(unet, image), run(unet, image, cond=alone))


def test_frames_without_indices_are_the_whole_clip_in_order():
    unet = tiny_unet(replace(FRAMED, temporal_position="sinusoidal"))
    whole = replace(
        conditioning(), frame_indices=torch.arange(3.0).expand(2, -1), clip_frames=torch.tensor([3.0, 3.0])
    )
    assert torch.equal(run(unet), run(unet, cond=whole))
    sparse = replace(whole, frame_indices=2 * whole.frame_indices, clip_frames=torch.tensor([6.0, 6.0]))
    assert not torch.allclose(run(unet), run(unet, cond=sparse), atol=1e-4)


def test_a_frame_embedding_is_a_product_of_place_and_prompt():
    embedding = unet3d.FrameEmbedding(6, 8, 4)
    torch.nn.init.normal_(embedding.out.weight)
    torch.nn.init.zeros_(embedding.prompt.bias)
    indices, frames = torch.arange(5.0).expand(1, -1), torch.tensor([5.0])
    prompt = torch.randn(1, 6)
    once, twice = embedding(indices, frames, prompt), embedding(indices, frames, 2 * prompt)
    assert once.shape == (1, 5, 4)
    torch.testing.assert_close(twice, 2 * once)


def test_a_frame_embedding_needs_the_pooled_prompt():
    with pytest.raises(ConfigError, match="pooled_prompt"):
        replace(TINY, frame_embedding=True)


@pytest.mark.parametrize("option", ["clip_attention", "frame_embedding"])
def test_a_clip_knows_its_frames_apart_and_any_length_runs(option):
    unet = tiny_unet(replace(TINY, **{option: True}, pooled_prompt=True, temporal_position="sinusoidal"))
    for frames in (1, 2, 5):
        assert run(unet, latents(frames=frames)).shape[2] == frames
    still = latents(frames=1).expand(-1, -1, 4, -1, -1)
    answer = run(unet, still)
    assert not torch.allclose(answer[:, :, 1], answer[:, :, 2], atol=1e-4)


def test_clip_attention_sees_other_places_of_other_frames():
    config = replace(TINY, clip_attention=True, channel_mult=(1,), attention_resolutions=(1,))
    attention = tiny_unet(config).middle_block[2].transformer_blocks[0].attn2
    tokens = torch.randn(1, 3, 6, 8, generator=torch.Generator().manual_seed(3), requires_grad=True)
    nothing = torch.zeros(3, 1)
    inputs = StageInputs(
        time_embeds=nothing,
        prompt_embeds=nothing[None],
        prompt_mask=None,
        frame_indices=torch.arange(3.0)[None],
        is_temporal=True,
    )
    attention(tokens, inputs)[0, 0, 0].sum().backward()
    assert tokens.grad is not None
    assert bool((tokens.grad[0, 2, 5].abs() > 0).all())


def test_new_layers_of_a_frame_embedding_start_at_nothing():
    torch.manual_seed(0)
    pooled = replace(TINY, pooled_prompt=True)
    plain, told = UNet3D(pooled), UNet3D(replace(pooled, frame_embedding=True))
    told.load_state_dict({**told.state_dict(), **plain.state_dict()})
    assert torch.equal(run(plain), run(told))


def test_removing_no_blocks_changes_nothing():
    assert torch.equal(run(tiny_unet(TINY)), run(tiny_unet(replace(TINY, removed_blocks=frozenset()))))


@pytest.mark.parametrize("name", prunable_blocks(TWO_BLOCKS))
def test_each_prunable_block_can_go_and_leaves_no_key(name):
    pruned = UNet3D(replace(TWO_BLOCKS, removed_blocks=frozenset({name})))
    full = tiny_unet(TWO_BLOCKS)
    expected = {key: value for key, value in full.state_dict().items() if not key.startswith(f"{name}.")}
    pruned.load_state_dict(expected)
    assert len(expected) < len(full.state_dict())
    assert not torch.allclose(run(pruned.eval()), run(full), atol=1e-4)


def test_all_prunable_blocks_can_go_together():
    config = replace(TWO_BLOCKS, removed_blocks=frozenset(prunable_blocks(TWO_BLOCKS)))
    assert run(tiny_unet(config)).isfinite().all()


def test_the_prunable_blocks_of_videocrafter2_keep_width_and_resolution():
    assert prunable_blocks(VIDEOCRAFTER2) == (
        *(f"input_blocks.{i}" for i in (1, 2, 5, 8, 10, 11)),
        "middle_block",
        *(f"output_blocks.{i}" for i in (0, 1, 3, 4, 7, 10, 11)),
    )


@pytest.mark.parametrize("name", ["input_blocks.0", "input_blocks.2", "output_blocks.1", "middle"])
def test_blocks_that_change_width_or_size_are_refused(name):
    with pytest.raises(ValueError, match="use any of input_blocks"):
        replace(TINY, removed_blocks=frozenset({name}))


@pytest.mark.parametrize("name", prunable_parts(TWO_BLOCKS))
def test_each_part_can_go_leaves_no_key_and_the_parts_beside_it_keep_their_numbers(name):
    pruned, full = UNet3D(replace(TWO_BLOCKS, removed_blocks=frozenset({name}))), tiny_unet(TWO_BLOCKS)
    expected = {key: value for key, value in full.state_dict().items() if not key.startswith(f"{name}.")}
    pruned.load_state_dict(expected)
    assert len(expected) < len(full.state_dict())
    assert not torch.allclose(run(pruned.eval()), run(full), atol=1e-4)


def test_a_removed_part_passes_on_what_one_of_zero_residual_does():
    full, name = tiny_unet(TWO_BLOCKS), "output_blocks.1.2"
    torch.nn.init.zeros_(full.get_submodule(name).proj_out.weight)
    torch.nn.init.zeros_(full.get_submodule(name).proj_out.bias)
    pruned = UNet3D(replace(TWO_BLOCKS, removed_blocks=frozenset({name}))).eval()
    pruned.load_state_dict({k: v for k, v in full.state_dict().items() if not k.startswith(f"{name}.")})
    assert torch.equal(run(pruned), run(full))


def test_everything_prunable_can_go_together():
    names = (*prunable_blocks(TWO_BLOCKS), *prunable_parts(TWO_BLOCKS))
    whole = [name for name in names if not any(name.startswith(f"{each}.") for each in names)]
    unet = tiny_unet(replace(TWO_BLOCKS, removed_blocks=frozenset(whole)))
    assert run(unet).isfinite().all()
    assert not [key for key in unet.state_dict() if "transformer" in key or "temopral" in key]


@pytest.mark.parametrize("config", [TINY, TWO_BLOCKS])
def test_stages_answer_with_as_many_channels_as_told(config):
    unet, found = tiny_unet(config), {}

    def note(name, _module, _inputs, output):
        found[name] = output.shape[1]

    for name in stage_widths(config):
        unet.get_submodule(name).register_forward_hook(partial(note, name))
    run(unet)
    assert found == stage_widths(config)


def test_the_parts_of_videocrafter2_are_its_residual_ones():
    parts = prunable_parts(VIDEOCRAFTER2)
    first = [f"input_blocks.1.{part}" for part in ("0", "0.temopral_conv", "1", "2")]
    assert parts[:5] == ("init_attn", *first)
    assert {name for name in parts if name.startswith("output_blocks.5.")} == {
        f"output_blocks.5.{part}" for part in ("0.temopral_conv", "1", "2")
    }
    assert "input_blocks.4.0" not in parts  # 320 to 640 channels
    assert "input_blocks.10.0" not in parts  # its stage has nothing else
    assert len(parts) == 61


def test_a_part_of_a_removed_stage_is_refused():
    with pytest.raises(ValueError, match=r"'middle_block.1' is a part of 'middle_block'"):
        replace(TINY, removed_blocks=frozenset({"middle_block", "middle_block.1"}))


def test_a_hook_on_a_removed_block_sees_what_passes_it():
    unet = tiny_unet(UNet3DConfig(**vars(replace(TINY, removed_blocks=frozenset({"middle_block"})))))
    seen = []
    unet.middle_block.register_forward_hook(lambda _, inputs, output: seen.append(inputs[0] is output))
    run(unet)
    assert seen == [True]


def test_reference_fields_become_house_fields():
    config = UNet3DConfig.from_reference({**PUBLISHED, "addition_attention": True, "fps_cond": True})
    assert config == VIDEOCRAFTER2
    guided = UNet3DConfig.from_reference({**PUBLISHED, "time_cond_proj_dim": 256, "num_res_blocks": 1})
    assert (guided.guidance_embed_dim, guided.num_res_blocks, guided.fps_conditioning) == (256, 1, False)


def test_unknown_and_unsupported_reference_fields_are_named():
    with pytest.raises(ConfigError, match="spatial_magic"):
        UNet3DConfig.from_reference({**PUBLISHED, "spatial_magic": 1})
    with pytest.raises(ConfigError, match="use_causal_attention=True"):
        UNet3DConfig.from_reference({**PUBLISHED, "use_causal_attention": True})
    with pytest.raises(ConfigError, match="use_linear=False"):
        UNet3DConfig.from_reference({"num_head_channels": 64, "use_relative_position": False})


def test_a_width_that_no_head_fits_is_refused():
    with pytest.raises(ConfigError, match="width 20"):
        replace(TINY, model_channels=20)


def test_a_config_survives_json():
    config = replace(TINY, removed_blocks=frozenset({"middle_block"}))
    assert from_json_dict(UNet3DConfig, to_json_dict(config)) == config

"""The pipeline: shapes, seeds, guidance, callbacks, and everything it refuses before any work."""

import inspect
from dataclasses import replace

import pytest
import torch

from rufous.core.errors import ConfigError
from rufous.diffusion import Cancelled
from rufous.networks.unet3d import UNet3D
from rufous.pipelines import TextToVideoPipeline

PROMPT = "a red circle moving left on a white background"
OTHER = "a blue square growing"


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_one_clip_of_bytes_per_prompt(tiny_pipeline: TextToVideoPipeline):
    output = tiny_pipeline([PROMPT, OTHER], generator=seeded(0))
    assert [clip.shape for clip in output.frames] == [(4, 3, 16, 16)] * 2
    assert all(clip.dtype == torch.uint8 for clip in output.frames)
    assert output.fps == 8.0
    assert set(output.seconds) == {"text", "denoise", "decode"}
    assert all(value > 0 for value in output.seconds.values())


def test_floats_lie_in_minus_one_to_one_and_latents_skip_the_decoder(tiny_pipeline: TextToVideoPipeline):
    pixels = tiny_pipeline(PROMPT, generator=seeded(0), output_type="pt").frames[0]
    latents = tiny_pipeline(PROMPT, generator=seeded(0), output_type="latent").frames[0]
    assert pixels.dtype == torch.float32
    assert pixels.abs().max() <= 1.0
    assert latents.shape == (4, 4, 4, 4)


def test_sizes_and_lengths_follow_the_call(tiny_pipeline: TextToVideoPipeline):
    output = tiny_pipeline(PROMPT, num_frames=3, height=24, width=32, fps=5.0, generator=seeded(0))
    assert output.frames[0].shape == (3, 3, 24, 32)
    assert output.fps == 5.0


def test_the_same_seed_gives_the_same_clip_alone_and_beside_others(tiny_pipeline: TextToVideoPipeline):
    alone = tiny_pipeline(OTHER, generator=seeded(7)).frames[0]
    beside = tiny_pipeline([PROMPT, OTHER], generator=[seeded(3), seeded(7)]).frames[1]
    assert torch.equal(alone, beside)


def test_one_generator_serves_a_list_and_its_first_clip_is_the_single_one(tiny_pipeline: TextToVideoPipeline):
    both = tiny_pipeline([PROMPT, PROMPT], generator=seeded(7)).frames
    assert torch.equal(both[0], tiny_pipeline(PROMPT, generator=seeded(7)).frames[0])
    assert not torch.equal(both[0], both[1])


@pytest.mark.parametrize("solver", ["ddim", "dpmpp_2m_sde", "lcm"])
def test_batches_change_clips_by_rounding_only(tiny_pipeline: TextToVideoPipeline, solver: str):
    generators = [[seeded(1), seeded(2), seeded(3)] for _ in range(2)]
    settings = {"solver": solver, "output_type": "pt"}
    one, many = (
        tiny_pipeline([PROMPT] * 3, generator=each, batch_size=size, **settings).frames
        for each, size in zip(generators, (1, 2), strict=True)
    )
    for a, b in zip(one, many, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_seed_prompt_and_negative_prompt_each_change_the_clip(tiny_pipeline: TextToVideoPipeline):
    plain = tiny_pipeline(PROMPT, generator=seeded(0), output_type="latent").frames[0]
    others = (
        tiny_pipeline(PROMPT, generator=seeded(1), output_type="latent"),
        tiny_pipeline(OTHER, generator=seeded(0), output_type="latent"),
        tiny_pipeline(PROMPT, negative_prompt="a star", generator=seeded(0), output_type="latent"),
    )
    assert not any(torch.equal(plain, other.frames[0]) for other in others)


def test_guidance_of_one_needs_half_the_passes(tiny_pipeline: TextToVideoPipeline):
    batches: list[int] = []
    hook = tiny_pipeline.unet.register_forward_hook(lambda _, inputs, __: batches.append(len(inputs[0])))
    tiny_pipeline(PROMPT, guidance_scale=1.0, generator=seeded(0))
    tiny_pipeline(PROMPT, guidance_scale=4.0, generator=seeded(0))
    hook.remove()
    assert batches == [1, 1, 1, 2, 2, 2]


def test_a_network_that_embeds_guidance_is_told_the_scale_and_runs_one_pass(
    tiny_pipeline: TextToVideoPipeline,
):
    torch.manual_seed(0)
    unet = UNet3D(replace(tiny_pipeline.unet.config, guidance_embed_dim=16)).eval()
    torch.nn.init.normal_(unet.time_cond_proj.weight)
    diffusion = replace(tiny_pipeline.diffusion, embedded_guidance_scale=7.5)
    student = replace(tiny_pipeline, unet=unet, diffusion=diffusion)
    seen: list[tuple[int, torch.Tensor]] = []
    unet.register_forward_hook(
        lambda _, inputs, __: seen.append((len(inputs[0]), inputs[2].guidance_embeds.clone()))
    )
    student(PROMPT, generator=seeded(0))
    student(PROMPT, guidance_scale=8.5, generator=seeded(0))  # g = 1 + w
    student(PROMPT, guidance_scale=3.0, generator=seeded(0))
    assert [batch for batch, _ in seen] == [1] * 9
    assert torch.equal(seen[0][1], seen[3][1])
    assert not torch.equal(seen[0][1], seen[6][1])
    with pytest.raises(ValueError, match="embeds its guidance"):
        student(PROMPT, negative_prompt="a star")
    with pytest.raises(ValueError, match="embeds its guidance"):
        student(PROMPT, guidance_rescale=0.7)


def test_the_callback_sees_every_step_and_can_cancel(tiny_pipeline: TextToVideoPipeline):
    steps: list[int] = []

    def stop_at_two(step: int, timestep: float, latents: torch.Tensor, pred_x0: torch.Tensor) -> None:
        steps.append(step)
        assert latents.shape == pred_x0.shape
        if step == 1:
            raise Cancelled

    with pytest.raises(Cancelled):
        tiny_pipeline(PROMPT, generator=seeded(0), callback_on_step_end=stop_at_two)
    assert steps == [0, 1]


def test_without_a_generator_two_clips_differ(tiny_pipeline: TextToVideoPipeline):
    first, second = (tiny_pipeline(PROMPT, output_type="latent").frames[0] for _ in range(2))
    assert not torch.equal(first, second)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_frames": 0}, "num_frames=0 is out of range: use a whole number from 1 to 1000"),
        ({"num_frames": 10_000}, "num_frames=10000 is out of range"),
        ({"height": 20}, "height=20 does not fit this model: use a multiple of 8, for example 16 or 24"),
        ({"width": 0}, "width=0 does not fit this model: use a multiple of 8, for example 8 or 16"),
        ({"fps": 0.0}, "fps=0.0 is out of range"),
        ({"fps": float("nan")}, "fps=nan is out of range"),
        ({"written_fps": -1.0}, "written_fps=-1.0 is out of range"),
        ({"guidance_scale": float("nan")}, "guidance_scale=nan is out of range"),
        ({"guidance_scale": float("inf")}, "guidance_scale=inf is out of range"),
        ({"num_inference_steps": 0}, "num_inference_steps=0 is out of range"),
        ({"num_inference_steps": 1001}, "1001"),
        ({"solver": "heun"}, "solver='heun' is unknown: use one of ddim"),
        ({"output_type": "pil"}, "output_type='pil' is unknown: use one of uint8, pt, latent"),
        ({"batch_size": 0}, "batch_size=0 is out of range"),
        ({"generator": [seeded(0), seeded(1)]}, "2 generators do not fit 1 prompts"),
        ({"height": 200_000, "width": 200_000}, r"predicted to need [\d,.]+ GB .* GB are free on cpu"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(
    tiny_pipeline: TextToVideoPipeline, options: dict[str, object], message: str
):
    with pytest.raises(ValueError, match=message) as caught:
        tiny_pipeline(PROMPT, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"generator": 0}, "generator=0 is none"),
        ({"generator": [0]}, r"generator=\[0\] is none"),
        ({"batch_size": 2.5}, "batch_size=2.5 is out of range"),
        ({"output_type": ["pt"]}, r"output_type=\['pt'\] is unknown"),
        ({"callback_on_step_end": 3}, "callback_on_step_end=3 cannot be called"),
    ],
)
def test_values_of_another_type_are_refused_by_name(
    tiny_pipeline: TextToVideoPipeline, options: dict[str, object], message: str
):
    unchecked = inspect.unwrap(type(tiny_pipeline).__call__)  # users have no checks of annotations
    with pytest.raises(ValueError, match=message):
        unchecked(tiny_pipeline, PROMPT, **options)


def test_eta_is_the_noise_of_the_solver(tiny_pipeline: TextToVideoPipeline):
    plain, noisy = (
        tiny_pipeline(PROMPT, solver="ddim", eta=eta, generator=seeded(0), output_type="latent").frames[0]
        for eta in (0.0, 1.0)
    )
    assert not torch.equal(plain, noisy)
    with pytest.raises(ValueError, match=r"eta=0\.5 has no meaning for lcm"):
        tiny_pipeline(PROMPT, solver="lcm", eta=0.5)


def test_components_that_do_not_fit_one_another_are_refused(tiny_pipeline: TextToVideoPipeline):
    unet = UNet3D(replace(tiny_pipeline.unet.config, cross_attention_dim=16))
    with pytest.raises(ConfigError, match="width of the text 8, but the U-Net reads 16"):
        replace(tiny_pipeline, unet=unet)

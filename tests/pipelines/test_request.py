"""Defaults and overrides of a request."""

from dataclasses import replace

import pytest

from rufous.pipelines import TextToVideoPipeline
from rufous.pipelines.request import GenerationRequest, resolve_request, size_factor


def resolve(
    pipeline: TextToVideoPipeline, prompt: str | list[str] = "a star", **options
) -> GenerationRequest:
    configs = {"unet": pipeline.unet.config, "autoencoder": pipeline.autoencoder.config}
    return resolve_request(prompt, **{"diffusion": pipeline.diffusion, **configs, **options})


def test_options_left_out_take_the_models_values(tiny_pipeline: TextToVideoPipeline):
    request = resolve(tiny_pipeline, num_frames=None, guidance_scale=None)
    assert (request.num_frames, request.height, request.width, request.fps) == (4, 16, 16, 8.0)
    assert request.sampling == tiny_pipeline.diffusion.sampling
    assert request.embedded_guidance_scale is None


def test_options_given_win(tiny_pipeline: TextToVideoPipeline):
    request = resolve(tiny_pipeline, num_inference_steps=7, guidance_scale=2.0, num_frames=9)
    assert (request.sampling.num_inference_steps, request.sampling.guidance_scale) == (7, 2.0)
    assert request.num_frames == 9


def test_the_file_rate_is_the_releases_unless_the_caller_names_one(tiny_pipeline: TextToVideoPipeline):
    diffusion = replace(tiny_pipeline.diffusion, fps=28.0, written_fps=10.0)
    assert resolve(tiny_pipeline, diffusion=diffusion).fps == 28.0
    assert resolve(tiny_pipeline, diffusion=diffusion).written_fps == 10.0
    assert resolve(tiny_pipeline, diffusion=diffusion, fps=12.0).written_fps == 12


def test_another_solver_leaves_the_releases_noise_behind(tiny_pipeline: TextToVideoPipeline):
    sampling = replace(tiny_pipeline.diffusion.sampling, eta=1.0, final_level="first")
    diffusion = replace(tiny_pipeline.diffusion, sampling=sampling)
    assert resolve(tiny_pipeline, diffusion=diffusion, solver="ddim").sampling.eta == 1.0
    other = resolve(tiny_pipeline, diffusion=diffusion, solver="lcm").sampling
    assert (other.eta, other.final_level) == (0.0, "clean")


def test_no_prompt_at_all_is_refused(tiny_pipeline: TextToVideoPipeline):
    with pytest.raises(ValueError, match="holds no prompt"):
        resolve(tiny_pipeline, [])


def test_sizes_are_multiples_of_both_networks_factors(tiny_pipeline: TextToVideoPipeline):
    assert size_factor(tiny_pipeline.unet.config, tiny_pipeline.autoencoder.config) == 4 * 2

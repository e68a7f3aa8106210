"""Defaults and overrides of a request."""

import inspect
from dataclasses import replace

import pytest

from rufous.diffusion import SamplingConfig
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
    apart = resolve(tiny_pipeline, diffusion=diffusion, written_fps=5.0)
    assert (apart.fps, apart.written_fps) == (28.0, 5.0)
    both = resolve(tiny_pipeline, diffusion=diffusion, fps=12.0, written_fps=5.0)
    assert (both.fps, both.written_fps) == (12.0, 5.0)
    assert resolve(tiny_pipeline).written_fps == 8.0


def test_another_solver_leaves_the_releases_noise_behind(tiny_pipeline: TextToVideoPipeline):
    sampling = replace(tiny_pipeline.diffusion.sampling, eta=1.0, final_level="first")
    diffusion = replace(tiny_pipeline.diffusion, sampling=sampling)
    assert resolve(tiny_pipeline, diffusion=diffusion, solver="ddim").sampling.eta == 1.0
    other = resolve(tiny_pipeline, diffusion=diffusion, solver="lcm").sampling
    assert (other.eta, other.final_level) == (0.0, "clean")


@pytest.mark.parametrize("asked", [{"negative_prompt": "a star"}, {"guidance_rescale": 0.7}])
def test_what_only_guidance_follows_is_refused_without_it(tiny_pipeline: TextToVideoPipeline, asked: dict):
    plain = replace(tiny_pipeline.diffusion, sampling=SamplingConfig(num_inference_steps=4))
    (name,) = asked
    with pytest.raises(ValueError, match=f"{name}=.* has no effect, since guidance_scale is 1"):
        resolve(tiny_pipeline, diffusion=plain, **asked)
    with pytest.raises(ValueError, match=f"{name}=.* has no effect, since guidance_scale is 1"):
        resolve(tiny_pipeline, guidance_scale=1.0, **asked)
    assert resolve(tiny_pipeline, diffusion=plain, guidance_scale=4.0, **asked).sampling.guidance_scale == 4.0
    assert resolve(tiny_pipeline, diffusion=plain, negative_prompt="", guidance_rescale=0.0)


def test_a_rescale_of_the_release_does_not_forbid_turning_guidance_off(tiny_pipeline: TextToVideoPipeline):
    sampling = replace(tiny_pipeline.diffusion.sampling, guidance_rescale=0.7)
    diffusion = replace(tiny_pipeline.diffusion, sampling=sampling)
    assert resolve(tiny_pipeline, diffusion=diffusion, guidance_scale=1.0).sampling.guidance_scale == 1.0


def test_no_prompt_at_all_is_refused(tiny_pipeline: TextToVideoPipeline):
    with pytest.raises(ValueError, match="holds no prompt"):
        resolve(tiny_pipeline, [])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": None}, "prompt=None is no text"),
        ({"prompt": 3}, "prompt=3 is no text"),
        ({"prompt": ["x", 3]}, r"prompt\[1\]=3 is no text"),
        ({"prompt": "x", "negative_prompt": ["y"]}, r"negative_prompt=\['y'\] is no text"),
        ({"prompt": "x", "fps": "8"}, "fps='8' is no number"),
        ({"prompt": "x", "height": "64"}, "height='64' is no number"),
        ({"prompt": "x", "guidance_scale": [7.5]}, r"guidance_scale=\[7.5\] is no number"),
        ({"prompt": "x", "eta": "1"}, "eta='1' is no number"),
        ({"prompt": "x", "solver": ["ddim"]}, r"solver=\['ddim'\] is unknown"),
    ],
)
def test_values_of_another_type_are_refused_by_name(
    tiny_pipeline: TextToVideoPipeline, options: dict[str, object], message: str
):
    unchecked = inspect.unwrap(resolve_request)  # users have no checks of annotations
    configs = {"unet": tiny_pipeline.unet.config, "autoencoder": tiny_pipeline.autoencoder.config}
    with pytest.raises(ValueError, match=message):
        unchecked(diffusion=tiny_pipeline.diffusion, **configs, **options)


def test_sizes_are_multiples_of_both_networks_factors(tiny_pipeline: TextToVideoPipeline):
    assert size_factor(tiny_pipeline.unet.config, tiny_pipeline.autoencoder.config) == 4 * 2

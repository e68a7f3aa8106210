"""What ships in the package: whole, small, and as good as it is said to be."""

import inspect

import pytest
import torch

import rufous
from rufous.apps.generate import generate
from rufous.checkpoints import component_kinds, describe_path, embedded_models, load_config, verify_release
from rufous.evaluation.judging import judge_clip
from rufous.pipelines import TextToVideoPipeline
from rufous.pipelines.loading import DEFAULT_MODEL

MODELS = embedded_models()
MOST_BYTES = 25_000_000
PROMPTS = (
    "a red circle moving left on a white background",
    "a large yellow square moving down on a navy background",
    "a medium green cross staying still on a black background",
)

pytestmark = pytest.mark.skipif(DEFAULT_MODEL not in MODELS, reason="no embedded model in this checkout")


@pytest.fixture(scope="module")
def student() -> TextToVideoPipeline:
    return rufous.load(DEFAULT_MODEL, device="cpu", dtype="fp32")


def test_everything_that_ships_is_whole_and_takes_less_than_25_megabytes():
    for folder in MODELS.values():
        verify_release(folder)
    files = [path for folder in MODELS.values() for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < MOST_BYTES


def test_the_command_and_python_have_the_same_default():
    assert inspect.signature(generate).parameters["model"].default == DEFAULT_MODEL
    assert inspect.signature(rufous.load).parameters["model"].default == DEFAULT_MODEL


def test_the_student_is_small_and_needs_four_steps_without_guidance(student: TextToVideoPipeline):
    assert student.diffusion.sampling.num_inference_steps == 4
    assert student.diffusion.sampling.guidance_scale == 1.0
    sizes = {
        name: next(c.num_parameters for c in describe_path(MODELS[name]).components if c.kind == "unet3d")
        for name in ("world-student", "world-teacher")
    }
    assert sizes["world-student"] <= 0.55 * sizes["world-teacher"]


def test_all_models_that_make_clips_speak_one_latent_space(student: TextToVideoPipeline):
    teacher = MODELS["world-teacher"]
    kinds = {kind: name for name, kind in component_kinds(teacher).items()}
    theirs = load_config(teacher, kinds["autoencoder_kl"])
    assert student.autoencoder.config == theirs


def test_its_clips_show_what_their_prompts_say(student: TextToVideoPipeline):
    """Three prompts of looks and motions that it knows well, two seeds each; five of six must be right."""
    made = [
        judge_clip(student(prompt, generator=torch.Generator().manual_seed(seed)).frames[0], 8.0, prompt)
        for prompt in PROMPTS
        for seed in (0, 1)
    ]
    assert sum(clip.verdict is not None and clip.verdict.all_right for clip in made) >= 5

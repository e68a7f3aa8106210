"""The line-up is that of the paper: sizes, steps, guidance, published times."""

import warnings

import pytest
import torch

from rufous.checkpoints.kinds import empty_network
from rufous.evaluation.benchmark.diffusers_models import UNETS
from rufous.evaluation.benchmark.lineup import DIFFUSERS, LINEUPS, TABLE_2
from rufous.evaluation.benchmark.rows import Architecture, DiffusersArchitecture


def test_steps_guidance_and_published_times_are_those_of_the_paper():
    found = [
        (
            row.name,
            row.model.diffusion.sampling.num_inference_steps,
            row.model.diffusion.sampling.guidance_scale > 1.0,
            row.published_s,
        )
        for row in LINEUPS["table2"]
        if not isinstance(row.model, str)
    ]
    assert found == [
        ("table2/videolcm", 4, False, 2.4),
        ("table2/t2v-turbo", 4, False, 2.5),
        ("table2/videocrafter2", 50, True, 44.2),
        ("table2/hummingbird-0.9b", 4, False, None),
        ("table2/hummingbird-0.7b", 4, False, 1.3),
        ("diffusers/modelscope-4-steps", 4, False, None),
        ("diffusers/modelscope-50-steps", 50, True, None),
        ("diffusers/animatediff-4-steps", 4, False, 6.4),
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("index", "parameters"),
    [
        (0, 1_411_233_860),  # as diffusers' UNet3DConditionModel with ModelScope's settings counts them
        (1, 1_413_366_340),
        (2, 1_413_284_420),
        (3, 945_209_220),
        (4, 772_091_780),
    ],
)
def test_the_networks_have_the_published_sizes(index: int, parameters: int):
    model = TABLE_2[index].model
    assert isinstance(model, Architecture)
    assert sum(each.numel() for each in empty_network(model.unet).parameters()) == parameters


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("diffusers/modelscope-4-steps", 1_411_233_860), ("diffusers/animatediff-4-steps", 1_276_658_564)],
)
def test_diffusers_networks_have_the_published_sizes(name: str, parameters: int):
    """As built by diffusers itself, without memory for the weights."""
    diffusers = pytest.importorskip("diffusers")
    [model] = [row.model for row in DIFFUSERS if row.name == name]
    assert isinstance(model, DiffusersArchitecture)
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")  # diffusers' own
        network = getattr(diffusers, UNETS[model.pipeline])(**model.unet)
    assert sum(each.numel() for each in network.parameters()) == parameters


def test_diffusers_rows_have_the_same_clip_as_ours():
    sizes = {
        (row.model.diffusion.num_frames, row.model.diffusion.height, row.model.diffusion.width)
        for row in (*TABLE_2, *DIFFUSERS)
        if not isinstance(row.model, str)
    }
    assert sizes == {(16, 320, 512)}

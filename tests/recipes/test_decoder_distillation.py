"""The full-size recipe in miniature stands for all that share this module."""

from dataclasses import replace

import pytest
import torch

from rufous.checkpoints.release import load_component
from rufous.core.errors import CheckpointError
from rufous.recipes import RECIPES
from rufous.recipes.decoder_distillation import full_autoencoder
from rufous.training.metrics import read_metrics
from tests.recipes.conftest import brief
from tests.recipes.videos import decoder_settings

CPU = torch.device("cpu")


def test_training_brings_it_nearer_to_the_full_decoder(miniature, tmp_path):
    train = replace(brief(40), optimizer=replace(brief(40).optimizer, learning_rate=1e-2))
    RECIPES["distil_decoder"].run(decoder_settings(miniature, train), tmp_path, CPU)
    losses = [line["to_full"] for line in read_metrics(tmp_path / "metrics.jsonl") if "to_full" in line]
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])


def test_a_resumed_run_ends_with_the_bits_of_an_unbroken_one(miniature, tmp_path):
    config = decoder_settings(miniature, brief(3))
    for folder, steps in (("whole", 4), ("parts", 2), ("parts", 4)):
        train = replace(config.train, num_steps=steps, save_every=2)
        RECIPES["distil_decoder"].run(replace(config, train=train), tmp_path / folder, CPU)
    whole, parts = (
        load_component(tmp_path / folder / "release", "tiny_decoder").state_dict()
        for folder in ("whole", "parts")
    )
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_the_autoencoder_is_found_by_its_kind_and_frozen(miniature, tmp_path):
    network = full_autoencoder(miniature.teacher, CPU)
    assert not any(weight.requires_grad for weight in network.parameters())
    assert not network.training
    tiny = RECIPES["distil_decoder"].run(decoder_settings(miniature, brief(1)), tmp_path, CPU)
    with pytest.raises(CheckpointError, match="autoencoder"):
        full_autoencoder(tiny, CPU)

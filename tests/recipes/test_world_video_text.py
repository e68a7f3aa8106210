from dataclasses import replace

import pytest
import torch

from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.release import load_component, verify_release
from rufous.core.errors import ConfigError
from rufous.recipes.world_video_text import TOKENIZER, WORLD_TEXT, run
from rufous.world import WorldClips
from tests.recipes.conftest import brief


def test_every_caption_fits_the_text_tower_and_has_no_unknown_word():
    clips = WorldClips(seed=5, level="full")
    captions = [clips.scene(index)[1] for index in range(200)]
    ids, _ = TOKENIZER.encode(captions, WORLD_TEXT.context_length)
    assert not (ids == TOKENIZER.encode(["zebra"], 3)[0][0, 1]).any()
    assert WORLD_TEXT.vocab_size == len(TOKENIZER)


def test_the_release_holds_the_model_and_its_text_tower(road):
    folder = road.root / "video_text" / "release"
    verify_release(folder)
    model = load_component(folder, "video_text", dtype=torch.float32)
    text = load_component(folder, "text_encoder", dtype=torch.float32)
    assert torch.equal(model.text.token_embedding.weight, text.token_embedding.weight)
    assert 0 <= Manifest.load(folder).figures["held_out_accuracy"] <= 1


def test_a_frozen_text_tower_stays_bit_for_bit_while_the_other_side_learns(road, tmp_path):
    start = road.root / "video_text" / "release"
    config = replace(road.video_text, init_from=str(start), train_text=False, train=brief(2))
    release = run(config, tmp_path, torch.device("cpu"))
    before, after = (load_component(folder, "video_text", dtype=torch.float32) for folder in (start, release))
    for name, tensor in before.text.state_dict().items():
        assert torch.equal(tensor, after.text.state_dict()[name]), name
    assert not torch.equal(before.video_head[1].weight, after.video_head[1].weight)
    (parent,) = Manifest.load(release).parents
    assert (parent.role, parent.manifest_id) == ("start", Manifest.load(start).id)


def test_starts_that_do_not_fit_are_refused(road, tmp_path):
    with pytest.raises(ValueError, match="a fresh text tower would never learn"):
        replace(road.video_text, train_text=False)
    other = replace(road.video_text.network, temporal_layers=3)
    config = replace(road.video_text, init_from=str(road.root / "video_text" / "release"), network=other)
    with pytest.raises(ConfigError, match=r"has another network: .*temporal_layers"):
        run(config, tmp_path, torch.device("cpu"))

import torch

from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.release import load_component, verify_release
from rufous.recipes.world_video_text import TOKENIZER, WORLD_TEXT
from rufous.world import WorldClips


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

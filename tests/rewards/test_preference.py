from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from rufous.core.errors import CheckpointError
from rufous.perception.clip import CLIP
from rufous.rewards import preference
from rufous.rewards.preference import hpsv2_1, pickscore
from tests.perception.tiny_towers import TINY_CLIP, randomize
from tests.rewards.clips import noise

BYTES = replace(TINY_CLIP, text=replace(TINY_CLIP.text, vocab_size=514))  # of the fixture's tokenizer
PROMPTS = ["red", "a fox"]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file(randomize(CLIP(BYTES)).model.state_dict(), path)
    return path


def test_hpsv2_sees_the_whole_frame_and_pickscore_its_middle(file, tokenizer_folder, monkeypatch):
    pad = replace(BYTES, preprocessing=replace(BYTES.preprocessing, fit=preference.HPSV2_1.preprocessing.fit))
    monkeypatch.setattr(preference, "HPSV2_1", pad)
    monkeypatch.setattr(preference, "VIT_H_14", BYTES)
    video = torch.nn.functional.pad(noise(size=32), (16, 16))  # 32 x 64: the margins are gray
    other = torch.nn.functional.pad(noise(size=32), (16, 16), value=0.9)
    whole = hpsv2_1(file, tokenizer=tokenizer_folder)
    middle = pickscore(file, tokenizer=tokenizer_folder)
    assert (whole.name, middle.name) == ("hpsv2.1", "pickscore")
    assert not torch.allclose(whole.score(video, PROMPTS), whole.score(other, PROMPTS), atol=1e-4)
    torch.testing.assert_close(middle.score(video, PROMPTS), middle.score(other, PROMPTS))


def test_a_tokenizer_that_does_not_fit_is_refused(tokenizer_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(preference, "VIT_H_14", TINY_CLIP)
    path = tmp_path / "other.safetensors"
    save_file(CLIP(TINY_CLIP).model.state_dict(), path)
    with pytest.raises(ValueError, match=r"pickscore: the tokenizer has 514 ids, .* embeds 11"):
        pickscore(path, tokenizer=tokenizer_folder)


@pytest.mark.parametrize(
    ("load", "name", "url"),
    [(hpsv2_1, "HPS_v2.1_compressed.pt", "xswu/HPSv2"), (pickscore, "model.safetensors", "PickScore_v1")],
)
def test_missing_weights_name_file_places_and_address(load, name, url, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *args, **kwargs: None)
    with pytest.raises(CheckpointError) as error:
        load()
    message = str(error.value)
    assert f"{name} is missing: looked for {tmp_path}/.cache/rufous/weights/" in message
    assert "https://huggingface.co/" in message
    assert url in message

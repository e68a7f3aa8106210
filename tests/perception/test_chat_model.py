"""Instructed models, on tiny random weights: what they are shown changes what they say."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from rufous.core.errors import CheckpointError
from rufous.perception.chat_model import load_chat_model
from rufous.perception.hub_models import INDEX, WEIGHTS
from tests.perception.tiny_hub_models import (
    CHAT_WORDS,
    write_captioner,
    write_language_model,
    write_seeing_model,
)

TURNS = [("user", "a red circle")]


@pytest.fixture(scope="module")
def seeing(tmp_path_factory):
    return load_chat_model(
        str(write_seeing_model(tmp_path_factory.mktemp("llava"))), sees=True, max_new_tokens=5
    )


def prompt_of(model, turns, frames=None):
    """The ids that the network gets."""
    seen = {}
    generate = model.source.network.generate
    try:
        model.source.network.generate = lambda **inputs: seen.update(inputs) or generate(**inputs)
        answer = model(turns, frames)
    finally:
        del model.source.network.generate
    return answer, seen


def test_every_frame_is_in_the_question_before_the_text(seeing):
    frames = torch.randint(
        0, 256, (3, 3, 20, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    answer, seen = prompt_of(seeing, [("system", "a"), *TURNS], frames)
    words = [CHAT_WORDS[i] for i in seen["input_ids"][0].tolist()]
    assert words == ["system", "a", "user", *["<image>"] * 12, "a", "red", "circle", "assistant"]
    assert seen["pixel_values"].shape == (3, 3, 16, 16)
    assert not seen["do_sample"]
    assert seeing([("system", "a"), *TURNS], frames) == answer


def test_frames_need_a_turn_of_the_user(seeing):
    frames = torch.zeros(1, 3, 16, 16, dtype=torch.uint8)
    with pytest.raises(ValueError, match="a turn of the user"):
        seeing([("system", "a")], frames)


def test_a_language_model_answers_the_last_turn_alone(tmp_path):
    model = load_chat_model(str(write_language_model(tmp_path)), sees=False, max_new_tokens=4)
    answer, seen = prompt_of(model, [("system", "moves"), *TURNS])
    words = [CHAT_WORDS[i] for i in seen["input_ids"][0].tolist()]
    assert words == ["system", "moves", "user", "a", "red", "circle", "assistant"]
    assert "circle assistant" not in answer
    assert len(answer.split()) <= 4


def test_weights_in_parts_are_one_model(tmp_path):
    folder = write_language_model(tmp_path)
    whole = load_chat_model(str(folder), sees=False)
    tensors = load_file(folder / WEIGHTS)
    names = sorted(tensors)
    parts = {"model-00001-of-00002.safetensors": names[:3], "model-00002-of-00002.safetensors": names[3:]}
    for part, kept in parts.items():
        save_file({name: tensors[name] for name in kept}, folder / part, {"format": "pt"})
    places = ", ".join(f'"{name}": "{part}"' for part, kept in parts.items() for name in kept)
    (folder / INDEX).write_text(f'{{"metadata": {{}}, "weight_map": {{{places}}}}}')
    (folder / WEIGHTS).unlink()
    model = load_chat_model(str(folder), sees=False)
    assert model(TURNS) == whole(TURNS)
    assert len(model.source.identity) == 64
    assert model.source.identity != whole.source.identity


def test_a_model_without_instructions_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="has no chat template"):
        load_chat_model(str(write_captioner(tmp_path)), sees=True)

import pytest
import torch
from safetensors.torch import load_file

from rufous.core.randomness import generator_from
from rufous.training.state_files import GeneratorState, load_own, load_shared, save_own, save_shared


class Memory:
    """A part whose state a test can set and see."""

    def __init__(self, state=None):
        self.state = state or {}

    def state_dict(self):
        return self.state

    def load_state_dict(self, state):
        self.state = state


def test_tensors_go_to_safetensors_and_the_rest_is_given_back(tmp_path):
    part = Memory({"deep": {"tensor": torch.arange(3), "text": "a"}, "flag": True})
    values = save_shared(tmp_path, {"memory": part})
    assert values == {"memory": {"deep": {"text": "a"}, "flag": True}}
    assert list(load_file(tmp_path / "memory.safetensors")) == ["deep/tensor"]
    again = Memory()
    load_shared(tmp_path, {"memory": again}, values)
    assert again.state["deep"]["tensor"].tolist() == [0, 1, 2]
    assert again.state["deep"]["text"] == "a"


def test_names_that_begin_alike_stay_apart(tmp_path):
    parts = {"ema": Memory({"x": torch.zeros(1)}), "ema2": Memory({"x": torch.ones(1)})}
    values = save_shared(tmp_path, parts)
    again = {"ema": Memory(), "ema2": Memory()}
    load_shared(tmp_path, again, values)
    assert [part.state["x"].item() for part in again.values()] == [0.0, 1.0]


def own(generator, position):
    return {"generator": GeneratorState(generator), "batches": Memory({"position": position})}


@pytest.mark.parametrize(("rank", "is_new"), [(0, False), (1, True)])
def test_a_rank_that_is_new_takes_the_position_and_keeps_its_own_numbers(tmp_path, monkeypatch, rank, is_new):
    saved, fresh = generator_from(1), generator_from(2)
    save_own(tmp_path, own(saved, 7))
    monkeypatch.setattr("rufous.training.state_files.rank", lambda: rank)
    parts = own(fresh, 0)
    load_own(tmp_path, parts, num_saved=1)
    assert parts["batches"].state == {"position": 7}
    expected = generator_from(2) if is_new else saved
    assert torch.equal(torch.randn(3, generator=fresh), torch.randn(3, generator=expected))

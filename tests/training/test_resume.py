import json
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from rufous.core.errors import CheckpointError, ConfigError
from rufous.core.randomness import generator_from
from rufous.training.resume import Parts, checkpoints, load_checkpoint, save_checkpoint
from rufous.training.state_files import GeneratorState


@dataclass(frozen=True)
class Config:
    rate: float = 0.1
    num_steps: int = 5


class Memory:
    """A part whose state a test can set and see."""

    def __init__(self, state):
        self.state = state

    def state_dict(self):
        return self.state

    def load_state_dict(self, state):
        self.state = state


def parts(module, memory=None, generator=None):
    return Parts(
        shared={"weights": module, "memory": memory or Memory({})},
        per_rank={"generator": GeneratorState(generator or generator_from(0))},
    )


def load(root, module, config=None, made_of=None, **rest):
    may_change = frozenset({"num_steps"})
    return load_checkpoint(
        root, parts(module, **rest), config or Config(), may_change=may_change, made_of=made_of
    )


def test_a_run_without_checkpoints_begins_at_zero(tmp_path):
    assert load(tmp_path / "none", nn.Linear(2, 2)) == 0


def test_everything_comes_back(tmp_path):
    before, after = nn.Linear(2, 2), nn.Linear(2, 2)
    state = {"deep": {"tensor": torch.arange(3), "text": "a", "none": {}}, "list": [1, 2.5], "flag": True}
    generator, again = generator_from(7), generator_from(8)
    torch.randn(5, generator=generator)
    save_checkpoint(tmp_path, 12, parts(before, Memory(state), generator), Config(), keep=2)
    memory = Memory({})
    assert load(tmp_path, after, memory=memory, generator=again) == 12
    assert torch.equal(before.weight, after.weight)
    assert torch.equal(memory.state["deep"].pop("tensor"), state["deep"].pop("tensor"))
    assert memory.state == state
    assert torch.equal(torch.randn(4, generator=generator), torch.randn(4, generator=again))


def test_tied_weights_are_saved_and_loaded(tmp_path):
    def tied():
        module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
        module[1].weight = module[0].weight
        return module

    before, after = tied(), tied()
    save_checkpoint(tmp_path, 1, parts(before), Config(), keep=1)
    load(tmp_path, after)
    assert torch.equal(before[1].weight, after[0].weight)


def test_only_the_newest_are_kept(tmp_path):
    for step in (1, 2, 30, 4):
        save_checkpoint(tmp_path, step, parts(nn.Linear(2, 2)), Config(), keep=2)
    assert [folder.name for folder in checkpoints(tmp_path)] == ["step-00000004", "step-00000030"]


def test_no_file_is_a_pickle(tmp_path):
    folder = save_checkpoint(tmp_path, 1, parts(nn.Linear(2, 2)), Config(), keep=1)
    assert {path.suffix for path in folder.rglob("*")} == {".json", ".safetensors"}
    assert json.loads((folder / "state.json").read_text())["config"] == {"rate": 0.1, "num_steps": 5}


def test_a_checkpoint_whose_writing_was_cut_off_is_not_seen(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, 1, parts(nn.Linear(2, 2)), Config(), keep=2)

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("rufous.training.resume.write_text", fail)
    with pytest.raises(OSError, match="disk full"):
        save_checkpoint(tmp_path, 2, parts(nn.Linear(2, 2)), Config(), keep=2)
    assert load(tmp_path, nn.Linear(2, 2)) == 1


@pytest.mark.parametrize("damage", ["truncate", "flip", "delete"])
def test_a_damaged_file_is_named_together_with_the_checkpoint_before(tmp_path, damage):
    for step in (1, 2):
        folder = save_checkpoint(tmp_path, step, parts(nn.Linear(2, 2)), Config(), keep=2)
    path = folder / "weights.safetensors"
    data = path.read_bytes()
    if damage == "delete":
        path.unlink()
    else:
        path.write_bytes(data[:-4] if damage == "truncate" else data[:-1] + bytes([data[-1] ^ 1]))
    module = nn.Linear(2, 2)
    before = module.weight.clone()
    with pytest.raises(CheckpointError, match=r"weights\.safetensors is damaged.*go on from step-00000001"):
        load(tmp_path, module)
    assert torch.equal(before, module.weight)


def test_damaged_state_is_named(tmp_path):
    folder = save_checkpoint(tmp_path, 1, parts(nn.Linear(2, 2)), Config(), keep=1)
    (folder / "state.json").write_text('{"format"')
    with pytest.raises(
        CheckpointError, match=r"state\.json is damaged or missing: there is no earlier checkpoint"
    ):
        load(tmp_path, nn.Linear(2, 2))


def test_another_network_is_refused(tmp_path):
    save_checkpoint(tmp_path, 1, parts(nn.Linear(2, 2)), Config(), keep=1)
    with pytest.raises(CheckpointError, match="size mismatch for weight"):
        load(tmp_path, nn.Linear(3, 2))


def test_another_config_is_refused_unless_the_field_may_change(tmp_path):
    save_checkpoint(tmp_path, 1, parts(nn.Linear(2, 2)), Config(), keep=1)
    assert load(tmp_path, nn.Linear(2, 2), Config(num_steps=9)) == 1
    with pytest.raises(ConfigError, match=r"rate was 0\.1 and is 0\.2\. Use the old values"):
        load(tmp_path, nn.Linear(2, 2), Config(rate=0.2))


def test_an_id_that_the_run_did_not_note_when_it_began_is_not_compared(tmp_path, caplog):
    before, later = {"teacher": "videocrafter2"}, {"teacher": "videocrafter2", "teacher.manifest_id": "abc"}
    module = nn.Linear(2, 2)
    save_checkpoint(tmp_path, 1, parts(module), Config(), keep=1, made_of=before)
    assert load(tmp_path, module, made_of=later) == 1
    assert "did not note teacher.manifest_id" in caplog.text
    for others in ({**later, "critic": "mine"}, {"teacher.manifest_id": "abc"}):
        with pytest.raises(ConfigError, match=r"(critic|teacher) was"):
            load(tmp_path, module, made_of=others)
    save_checkpoint(tmp_path, 2, parts(module), Config(), keep=1, made_of=later)  # noted from here on
    with pytest.raises(ConfigError, match=r"teacher\.manifest_id was 'abc' and is 'def'"):
        load(tmp_path, module, made_of={**later, "teacher.manifest_id": "def"})


def test_an_id_that_the_run_noted_under_another_name_needs_no_warning(tmp_path, caplog):
    module = nn.Linear(2, 2)
    save_checkpoint(tmp_path, 1, parts(module), Config(), keep=1, made_of={"teacher": "abc"})
    assert load(tmp_path, module, made_of={"teacher": "abc", "teacher.manifest_id": "abc"}) == 1
    assert not caplog.text

"""The protocol is structural: what the loop needs is what the objectives of this project have."""

import inspect

import pytest

from rufous.distillation import AutoencodingObjective, ContrastiveObjective, DenoisingObjective
from rufous.training.objective import Objective


@pytest.mark.parametrize("kind", [AutoencodingObjective, ContrastiveObjective, DenoisingObjective])
def test_every_objective_has_the_members_of_the_protocol(kind):
    for name in ("loss", "after_step", "state_dict", "load_state_dict"):
        wanted = list(inspect.signature(getattr(Objective, name)).parameters)
        assert list(inspect.signature(getattr(kind, name)).parameters) == wanted


def test_the_protocol_asks_for_nothing_else(toy):
    members = {name for name in vars(Objective) if not name.startswith("_")}
    assert members == {"trainable", "loss", "after_step", "state_dict", "load_state_dict"}
    assert all(hasattr(toy.Objective(), name) for name in members)

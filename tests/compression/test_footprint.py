import pytest
import torch

from rufous.compression import footprint
from rufous.compression.calls import unet3d_call
from rufous.compression.footprint import Scales, block_parameters, total_of
from rufous.networks.cost import unet_flop
from tests.compression.conftest import TINY


def scales(size, num_latency_calls: int) -> Scales:
    return Scales(
        size=size,
        stored_dtype=torch.bfloat16,
        example=unet3d_call(TINY, size),
        num_latency_calls=num_latency_calls,
    )


def test_counts_are_those_of_the_network(teacher, size):
    found = scales(size, 0).weigh(teacher)[0]
    assert found.parameters == sum(parameter.numel() for parameter in teacher.parameters())
    assert found.size_bytes == 2 * found.parameters
    assert found.flop == unet_flop(teacher, 3, 4, 6, num_tokens=5)
    assert found.latency_s is None


def test_the_parameters_of_blocks_are_those_of_their_modules(teacher):
    found = block_parameters(TINY, ["middle_block", "middle_block.1"])
    assert found["middle_block.1"] == sum(p.numel() for p in teacher.middle_block[1].parameters())
    assert found["middle_block"] > found["middle_block.1"]
    assert total_of(found, found) == found["middle_block"]


def test_time_is_measured_and_a_part_takes_no_more_than_its_whole(teacher, size):
    names = ["middle_block", "middle_block.1"]
    whole = scales(size, 2).weigh(teacher)[0].latency_s
    found = scales(size, 2).time_blocks(teacher, names)
    assert 0 < found["middle_block.1"] < found["middle_block"] < 100 * whole
    assert not any(module._forward_hooks for module in teacher.modules())
    assert scales(size, 0).time_blocks(teacher, names) == {}


def test_a_network_that_is_too_slow_is_timed_once(teacher, size, monkeypatch):
    calls = []
    teacher.register_forward_hook(lambda *_: calls.append(1))
    monkeypatch.setattr(footprint, "MAX_TIMING_S", 0.0)
    assert scales(size, 5).weigh(teacher)[0].latency_s > 0
    assert len(calls) == 1


def test_networks_are_timed_in_turn_and_a_warm_up_does_not_count(monkeypatch):
    order, lasting = [], {"first": [9.0, 1.0, 2.0], "second": [9.0, 5.0, 7.0]}
    clock = [0.0]
    monkeypatch.setattr(footprint, "_now", lambda device: clock[0])

    def run(name: str):
        def function():
            order.append(name)
            clock[0] += lasting[name].pop(0)
            return torch.zeros(1)

        return function

    found = footprint._repeat([run("first"), run("second")], torch.device("cpu"), 2)
    assert found == [[1.0, 2.0], [5.0, 7.0]]
    assert order == ["first", "second"] * 3


def test_a_block_that_never_runs_takes_no_time(size):
    from rufous.networks.unet3d import UNet3D

    unet = UNet3D(TINY)
    unet.spare = torch.nn.Identity()
    assert scales(size, 1).time_blocks(unet, ["spare"]) == {"spare": pytest.approx(0.0)}

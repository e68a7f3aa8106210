import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from rufous.compression import footprint
from rufous.compression.calls import unet3d_call
from rufous.compression.footprint import Scales, block_parameters, total_of
from tests.compression.conftest import TINY


def scales(size, num_latency_calls: int) -> Scales:
    return Scales(
        size=size,
        stored_dtype=torch.bfloat16,
        example=unet3d_call(TINY, size),
        num_latency_calls=num_latency_calls,
    )


def test_counts_are_those_of_the_network(teacher, size):
    weighing = scales(size, 0)
    found, counter = weighing.weigh(teacher)[0], FlopCounterMode(display=False)
    with sdpa_kernel(SDPBackend.MATH), counter:  # torch counts attention only in its plain form
        weighing.example.of(teacher)
    assert found.flop == pytest.approx(counter.get_total_flops(), rel=0.02)
    assert found.parameters == sum(parameter.numel() for parameter in teacher.parameters())
    assert found.size_bytes == 2 * found.parameters
    assert found.latency_s is None


def test_the_parameters_of_blocks_are_those_of_their_modules(teacher):
    found = block_parameters(TINY, ["middle_block", "middle_block.1"])
    assert found["middle_block.1"] == sum(p.numel() for p in teacher.middle_block[1].parameters())
    assert found["middle_block"] > found["middle_block.1"]
    assert total_of(found, found) == found["middle_block"]


def test_the_time_of_a_block_is_that_between_its_begin_and_its_end(teacher, size, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("rufous.core.devices.time.perf_counter", lambda: now[0])

    def lasting(seconds: float):
        def hook(*_: object) -> None:
            now[0] += seconds

        return hook

    for name, seconds in {"init_attn": 50.0, "middle_block.0": 1.0, "middle_block.1": 2.0}.items():
        teacher.get_submodule(name).register_forward_hook(lasting(seconds))
    names = ["middle_block", "middle_block.1", "middle_block.3", "output_blocks.1"]
    timed = scales(size, 2)
    assert timed.time_blocks(teacher, names) == dict(zip(names, (3.0, 2.0, 0.0, 0.0), strict=True))
    assert timed.weigh(teacher)[0].latency_s == 53.0
    assert sum(len(module._forward_hooks) for module in teacher.modules()) == 3
    assert scales(size, 0).time_blocks(teacher, names) == {}


def test_a_network_that_is_too_slow_is_timed_once(teacher, size, monkeypatch):
    calls = []
    teacher.register_forward_hook(lambda *_: calls.append(1))
    monkeypatch.setattr(footprint, "MAX_TIMING_S", 0.0)
    assert scales(size, 5).weigh(teacher)[0].latency_s > 0
    assert len(calls) == 1


def test_a_block_that_never_runs_takes_no_time(size):
    from rufous.networks.unet3d import UNet3D

    unet = UNet3D(TINY)
    unet.spare = torch.nn.Identity()
    assert scales(size, 1).time_blocks(unet, ["spare"]) == {"spare": pytest.approx(0.0)}

from dataclasses import replace
from importlib import import_module

import pytest
import torch

from rufous.compression import PruneConfig, prune
from rufous.compression.carry_over import carry_over
from rufous.compression.sensitivity import output_change
from rufous.core.config import from_json_dict
from rufous.core.errors import ConfigError
from rufous.networks.unet3d import UNet3DConfig
from tests.compression.conftest import TINY


def never(*_: object) -> list:
    raise AssertionError("data was asked for, or the network was run")


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_a_budget_is_met_by_blocks_that_matter_least(teacher, size, calls):
    config = PruneConfig(budget="-30%", blocks="stages", num_latency_calls=0)
    student, report = prune(teacher, config, size=size, data=lambda: calls[:1])
    assert count(student) == report.after.parameters <= 0.7 * count(teacher)
    assert student.config.removed_blocks == set(report.removed)
    removed = [block for block in report.blocks if block.is_removed]
    kept = [block for block in report.blocks if not block.is_removed]
    # another stage in place of a removed one: either too small, or it matters more
    for one in removed:
        for other in kept:
            saved = report.before.parameters - report.after.parameters - one.parameters + other.parameters
            assert saved < 0.3 * count(teacher) or other.output_change >= one.output_change
    assert report.output_change == pytest.approx(output_change(teacher, report.removed, calls[:1]))
    assert from_json_dict(UNet3DConfig, report.student_config) == student.config


def test_parts_reach_further_than_stages(teacher, size, calls):
    stages = PruneConfig(budget="-60%", blocks="stages", num_latency_calls=0)
    with pytest.raises(ValueError, match="'-60%' cannot be reached"):
        prune(teacher, stages, size=size, data=never)
    parts = replace(stages, blocks="parts", importance="influence")
    student, report = prune(teacher, parts, size=size, data=lambda: calls)
    assert count(student) <= 0.4 * count(teacher)
    assert all(block.output_change is None for block in report.blocks)


def test_a_part_of_a_removed_stage_counts_as_removed(teacher, size):
    config = PruneConfig(remove=("middle_block", "input_blocks.5.1"), num_latency_calls=0)
    _, report = prune(teacher, config, size=size, data=never)
    gone = {block.name for block in report.blocks if block.is_removed}
    assert "middle_block.3.temopral_conv" in gone
    assert {"input_blocks.5.1", "middle_block"} <= gone
    assert "input_blocks.5" not in gone
    assert (report.num_calls, report.output_change) == (0, None)


def test_presets_and_configs_need_no_data(teacher, size):
    shallow, report = prune(
        teacher, PruneConfig(preset="hummingbird-0.7b", num_latency_calls=1), size=size, data=never
    )
    given, _ = prune(teacher, PruneConfig(student=shallow.config), size=size, data=never)
    assert shallow.config == replace(TINY, num_res_blocks=1, removed_blocks=frozenset({"middle_block"}))
    assert given.config == shallow.config
    assert report.removed == (
        "input_blocks.2",
        "input_blocks.5",
        "middle_block",
        "output_blocks.0",
        "output_blocks.4",
    )
    assert report.after.latency_s > 0
    assert report.timed_on == "cpu in float32"


def test_parts_of_a_stage_and_the_stage_are_one_student(teacher, size):
    parts = tuple(f"middle_block.{i}" for i in range(4))
    given = PruneConfig(student=replace(TINY, removed_blocks=frozenset(parts)), num_latency_calls=0)
    for config in (given, PruneConfig(remove=parts, num_latency_calls=0)):
        student, report = prune(teacher, config, size=size)
        assert student.config.removed_blocks == {"middle_block"} == set(report.removed)
        assert report.student_config["removed_blocks"] == ["middle_block"]


TWINS = ("input_blocks.5", "middle_block")


@pytest.mark.parametrize("remeasure", [False, True])
def test_measured_anew_two_blocks_that_do_the_same_do_not_both_go(
    teacher, size, calls, monkeypatch, remeasure
):
    """Either of the twins is worth nothing as long as the other is there."""

    def change(network, names, *_) -> float:
        return 10.0 * (set(names) >= set(TWINS)) + 0.1 * len(set(names).difference(TWINS))

    for module in ("sensitivity", "prune"):
        monkeypatch.setattr(import_module(f"rufous.compression.{module}"), "output_change", change)
    config = PruneConfig(budget="-25%", blocks="stages", num_latency_calls=0, remeasure=remeasure)
    _, report = prune(teacher, config, size=size, data=lambda: calls[:1])
    assert (set(TWINS) <= set(report.removed)) is not remeasure
    assert set(TWINS) & set(report.removed)
    assert report.after.parameters <= 0.75 * report.before.parameters


@torch.no_grad()
def test_a_network_that_gives_nan_is_not_pruned(teacher, size, calls):
    teacher.input_blocks[0][0].bias.fill_(torch.nan)
    for importance in ("output", "influence"):
        config = PruneConfig(budget="-30%", importance=importance, num_latency_calls=0)
        with pytest.raises(FloatingPointError, match="is NaN or infinite in float32"):
            prune(teacher, config, size=size, data=lambda: calls)


def test_bytes_count_as_they_are_stored(teacher, size, calls):
    limit = f"{1.5 * count(teacher) / 1e6}MB"
    config = PruneConfig(budget=limit, importance="influence", num_latency_calls=0)
    _, report = prune(teacher, config, size=size, data=lambda: calls, stored_dtype=torch.bfloat16)
    assert report.after.size_bytes == 2 * report.after.parameters <= 1.5 * count(teacher)
    with pytest.raises(ValueError, match="met already"):
        prune(teacher, replace(config, budget="1GB"), size=size, data=never)


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        (PruneConfig(budget="-99%", num_latency_calls=0), ValueError, "cannot be reached"),
        (PruneConfig(preset="tiny"), ValueError, "preset='tiny' is unknown"),
        (PruneConfig(student=TINY), ValueError, "a given config removes nothing"),
        (PruneConfig(student=replace(TINY, dropout=0.5)), ValueError, "a given config removes nothing"),
        (PruneConfig(remove=("output_blocks.2",)), ValueError, "none that can go"),
        (PruneConfig(student=replace(TINY, model_channels=16)), ConfigError, "model_channels=16"),
    ],
)
def test_what_cannot_be_is_refused_before_data_is_asked_for(config, error, message, teacher, size):
    with pytest.raises(error, match=message):
        prune(teacher, config, size=size, data=never)


def test_a_preset_of_the_networks_own_depth_is_refused(teacher, size):
    shallow = carry_over(teacher, replace(TINY, num_res_blocks=1))
    with pytest.raises(ValueError, match=r"hummingbird-0.9b removes nothing"):
        prune(shallow, PruneConfig(preset="hummingbird-0.9b"), size=size)


def test_importance_without_data_is_refused_before_anything_is_timed(teacher, size):
    teacher.register_forward_hook(never)
    for config in (PruneConfig(budget="2x"), PruneConfig(remove=("middle_block",), importance="output")):
        with pytest.raises(ValueError, match="pass data, or use a preset"):
            prune(teacher, config, size=size)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "0 goals were given"),
        ({"budget": "-45%", "preset": "hummingbird-0.7b"}, "2 goals were given"),
        ({"budget": "a lot"}, "is not understood"),
        ({"budget": "-45%", "importance": "none"}, "met by importance"),
        ({"preset": "hummingbird-0.7b", "remeasure": True}, "remeasure needs a budget"),
        ({"budget": "-45%", "importance": "influence", "remeasure": True}, "remeasure needs a budget"),
        ({"budget": "2x", "num_latency_calls": 0}, "num_latency_calls=0"),
    ],
)
def test_contradictions_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        PruneConfig(**values)

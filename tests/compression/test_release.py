import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rufous.checkpoints import Manifest, component_kinds, load_component, save_release, verify_release
from rufous.compression import PruneConfig, prune_release
from rufous.compression.release import clip_size, prunable_component
from rufous.core.errors import CheckpointError, ConfigError
from rufous.networks.unet3d import UNet3D
from rufous.pipelines import load
from tests.tiny_release import TINY_UNET, tiny_components

REMOVED = PruneConfig(remove=("middle_block", "output_blocks.0.1"), num_latency_calls=0)


@pytest.fixture
def pruned(tiny_release: Path, tmp_path: Path) -> Path:
    prune_release(tiny_release, tmp_path / "small", REMOVED, seeds={"calibration": 3})
    return tmp_path / "small"


def test_the_config_alone_rebuilds_the_network_and_the_weights_are_the_teachers(pruned, tiny_release):
    student, teacher = load_component(pruned, "unet"), load_component(tiny_release, "unet").state_dict()
    assert student.config.removed_blocks == set(REMOVED.remove)
    names = UNet3D(student.config).state_dict().keys()
    assert student.state_dict().keys() == names < teacher.keys()
    assert all(torch.equal(tensor, teacher[name]) for name, tensor in student.state_dict().items())


def test_the_release_is_whole_names_its_teacher_and_generates(pruned, tiny_release):
    manifest, teacher = verify_release(pruned), Manifest.load(tiny_release)
    assert (manifest.name, manifest.licences, manifest.seeds) == (
        "tiny-pruned",
        teacher.licences,
        {"calibration": 3},
    )
    assert [(p.name, p.manifest_id, p.role) for p in manifest.parents] == [
        (teacher.name, teacher.id, "teacher")
    ]
    assert component_kinds(pruned) == component_kinds(tiny_release)
    frames = load(pruned, device="cpu", dtype="fp32")("a star", num_inference_steps=1).frames[0]
    assert frames.shape == (4, 3, 16, 16)


def test_the_report_lies_in_the_release(pruned):
    report = json.loads((pruned / "pruning.json").read_text())
    assert report["removed"] == ["middle_block", "output_blocks.0.1"]
    assert report["after"]["parameters"] == sum(
        p.numel() for p in load_component(pruned, "unet").parameters()
    )
    assert "`middle_block`" in (pruned / "pruning.md").read_text()
    assert not (pruned / "importance.svg").exists()  # nothing was measured


def test_measured_importance_is_drawn(tiny_release, tmp_path):
    from rufous.compression.blocks import named_blocks

    size = clip_size(tiny_release)
    config = PruneConfig(budget="-20%", importance="influence", num_latency_calls=0)
    call = named_blocks(TINY_UNET).example(TINY_UNET, size)
    prune_release(tiny_release, tmp_path / "small", config, data=lambda: [call])
    assert "importance.svg" in verify_release(tmp_path / "small").files


def test_weights_stay_in_the_dtype_they_are_stored_in(tmp_path):
    save_release(tmp_path / "half", tiny_components(), Manifest(name="half"), dtype=torch.bfloat16)
    network = load_component(tmp_path / "half", "unet", dtype=torch.float32)
    _, report = prune_release(tmp_path / "half", tmp_path / "small", REMOVED, network=network)
    assert load_component(tmp_path / "small", "unet").dtype == torch.bfloat16
    assert report.after.size_bytes == 2 * report.after.parameters


def test_the_size_of_a_clip_is_the_releases(tiny_release):
    size = clip_size(tiny_release)
    assert (size.num_frames, size.height, size.width, size.num_tokens) == (4, 4, 4, 24)


def test_after_an_error_nothing_was_written(tiny_release, tmp_path):
    save_release(tmp_path / "old", tiny_components(), Manifest(name="old"))
    before = verify_release(tmp_path / "old").id
    with pytest.raises(ValueError, match="'nothing' is none that can go"):
        prune_release(tiny_release, tmp_path / "old", PruneConfig(remove=("nothing",)), overwrite=True)
    wrong = PruneConfig(student=replace(TINY_UNET, num_head_channels=8))
    with pytest.raises(ConfigError, match="num_head_channels=8"):
        prune_release(tiny_release, tmp_path / "old", wrong, overwrite=True)
    with pytest.raises(CheckpointError, match="ask for it to be overwritten"):
        prune_release(tiny_release, tmp_path / "old", REMOVED)
    assert verify_release(tmp_path / "old").id == before
    with pytest.raises(ValueError, match="is the release to prune itself"):
        prune_release(tmp_path / "old", tmp_path / "old", REMOVED, overwrite=True)


def test_a_release_without_a_network_to_prune_is_refused(tmp_path):
    parts = tiny_components()
    save_release(tmp_path / "vae", {"vae": parts["vae"]}, Manifest(name="vae"))
    with pytest.raises(CheckpointError, match="has 0 networks that can be pruned"):
        prunable_component(tmp_path / "vae")

import torch

import rufous
from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.release import load_config, verify_release

CPU = torch.device("cpu")


def test_the_release_generates_without_a_second_pass_and_names_its_parents(student_road):
    folder = student_road.root / "recovery" / "release"
    verify_release(folder)
    roles = {parent.role: parent.manifest_id for parent in Manifest.load(folder).parents}
    assert roles["teacher"] == Manifest.load(student_road.recovery.teacher).id
    assert roles["student"] == Manifest.load(student_road.recovery.student).id
    assert load_config(folder, "unet").removed_blocks == {"middle_block"}
    assert load_config(folder, "diffusion").sampling.guidance_scale == 1.0
    pipe = rufous.load(folder, device="cpu")
    clip = pipe("a red circle moving left", num_frames=6, generator=torch.Generator().manual_seed(0)).frames[
        0
    ]
    assert clip.shape == (6, 3, 32, 32)

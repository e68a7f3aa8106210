import json

import torch

import rufous
from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.release import verify_release


def test_the_release_generates_and_names_its_parents(road):
    folder = road.root / "teacher" / "release"
    verify_release(folder)
    roles = {parent.role: parent.manifest_id for parent in Manifest.load(folder).parents}
    assert roles["autoencoder"] == Manifest.load(road.latents.autoencoder).id
    assert roles["text_encoder"] == Manifest.load(road.teacher.text).id
    pipe = rufous.load(str(folder), device="cpu")
    clip = pipe("a red circle moving left", generator=torch.Generator().manual_seed(0)).frames[0]
    assert clip.shape == (4, 3, 32, 32)
    assert clip.dtype is torch.uint8


def test_images_come_first_and_clips_start_from_their_averaged_weights(road):
    images = [
        json.loads(line) for line in (road.root / "teacher/images/metrics.jsonl").read_text().splitlines()
    ]
    clips = [
        json.loads(line) for line in (road.root / "teacher/clips/metrics.jsonl").read_text().splitlines()
    ]
    assert images[-1]["step"] == 2
    assert clips[-1]["step"] == 2

import json
from dataclasses import replace

import torch
from safetensors.torch import load_file

import rufous
from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.release import load_component, verify_release
from rufous.core.types import Conditioning
from rufous.recipes import RECIPES
from rufous.recipes.world_teacher import _initial_network
from tests.recipes.conftest import brief


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


def test_every_phase_starts_from_the_averaged_weights_of_the_one_before(road, tmp_path):
    sparse = replace(brief(3), ema_decay=0.5)
    clips = replace(brief(1), ema_decay=0.0)
    clips = replace(clips, optimizer=replace(clips.optimizer, learning_rate=1e-9))  # nothing moves
    config = replace(
        road.teacher,
        images=None,
        sparse=replace(road.teacher.sparse, train=sparse),
        clips=replace(road.teacher.clips, train=clips),
    )
    release = RECIPES["world_teacher"].run(config, tmp_path, torch.device("cpu"))
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["clips", "release", "sparse"]
    made = load_component(release, "unet", dtype=torch.float32).state_dict()
    checkpoint = tmp_path / "sparse" / "checkpoints" / "step-00000003"
    averaged = load_file(checkpoint / "ema.safetensors")["averages/out.2.weight"]
    last = load_file(checkpoint / "weights.safetensors")["out.2.weight"]
    torch.testing.assert_close(made["out.2.weight"], averaged, atol=1e-6, rtol=1e-3)
    assert (averaged - last).abs().max() > 1e-4


def test_a_step_has_a_batch_of_each_kind(road):
    lines = (road.root / "teacher" / "clips" / "metrics.jsonl").read_text().splitlines()
    state = json.loads((road.root / "teacher/clips/checkpoints/step-00000002/state.json").read_text())
    assert json.loads(lines[-1])["step"] == 2
    assert state["config"]["accumulation"] == len(road.teacher.clips.shown) == 3


def test_a_network_that_gains_transformers_begins_as_the_one_before(road):
    before = road.root / "teacher" / "release"
    old = load_component(before, "unet", dtype=torch.float32)
    factors = tuple(2**level for level in range(len(old.config.channel_mult)))
    assert old.config.attention_resolutions != factors
    wider = replace(road.teacher.network, attention_resolutions=factors)
    grown = _initial_network(replace(road.teacher, network=wider, init_from=str(before))).eval()
    assert len(grown.state_dict()) > len(old.state_dict())
    cond = Conditioning(prompt_embeds=torch.randn(1, 3, wider.cross_attention_dim), fps=torch.full((1,), 8.0))
    latents = torch.randn(1, wider.in_channels, 4, 8, 8)
    with torch.no_grad():
        out, expected = (network(latents, torch.tensor([500.0]), cond) for network in (grown, old))
    torch.testing.assert_close(out, expected)

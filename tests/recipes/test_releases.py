import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

import rufous
from rufous.checkpoints.manifest import Manifest, Parent
from rufous.checkpoints.release import load_component, load_config, save_release, verify_release
from rufous.core.errors import CheckpointError, ConfigError
from rufous.networks.text_encoders import WordTokenizer
from rufous.networks.unet3d import UNet3D
from rufous.recipes import RECIPES, processes
from rufous.recipes.processes import Processes
from rufous.recipes.releases import ancestry, check_run_dir, hashes, manifest_of, save_student
from rufous.recipes.world_tiny_decoder import WorldTinyDecoderConfig

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Settings:
    """Of a recipe."""

    folder: str
    seed: int = 3


def manifest(road, **changes):
    return manifest_of(
        "toy",
        Settings(str(road.root / "clips")),
        seeds={"training": 3},
        ancestors=ancestry(
            {
                "teacher": road.root / "teacher" / "release",
                "rewards": road.root / "video_text" / "release",
            }
        ),
        figures={"steps": 7},
    )


def test_the_manifest_names_each_parent_by_role_and_hash(road):
    found = manifest(road)
    ids = {
        role: Manifest.load(road.root / name / "release").id
        for role, name in (("teacher", "teacher"), ("rewards", "video_text"))
    }
    assert {parent.role: parent.manifest_id for parent in found.parents} == ids
    assert found.config == {"folder": f"{road.root.name}/clips", "seed": 3}  # no path of a machine
    assert (found.seeds, found.figures) == ({"training": 3}, {"steps": 7})
    assert (found.licences, found.notes) == ({"weights": "Apache-2.0"}, ())


def made_of_these(places):
    return manifest_of("toy", {}, seeds={}, ancestors=ancestry(places), figures={})


def labelled(folder, **licences):
    save_release(folder, {"tokenizer": WordTokenizer(["red"])}, Manifest(name=folder.name, licences=licences))
    return folder


def test_licences_are_those_of_the_releases_that_it_was_made_of(tmp_path):
    teacher = labelled(tmp_path / "one", weights="RAIL-MS", text_encoder="MIT")
    own, silent = labelled(tmp_path / "two", weights="Apache-2.0"), labelled(tmp_path / "three")
    assert made_of_these({"teacher": teacher}).licences == {"weights": "RAIL-MS", "text_encoder": "MIT"}
    both = made_of_these({"teacher": teacher, "student": own})
    assert both.licences == {"weights": "Apache-2.0, RAIL-MS", "text_encoder": "MIT"}
    unknown = made_of_these({"teacher": teacher, "student": silent})
    assert unknown.licences == {"text_encoder": "MIT"}
    assert unknown.notes == (
        "licence of the weights unknown: none is named by student (three); others: RAIL-MS",
    )


def test_releases_and_published_files_are_parents_and_part_of_what_a_run_is_made_of(tmp_path):
    (tmp_path / "hps.pt").write_bytes(b"weights")
    ancestors = ancestry({"reward hps": tmp_path / "hps.pt"})
    digest = hashlib.sha256(b"weights").hexdigest()
    assert [each.parent for each in ancestors] == [Parent(name="hps.pt", sha256=digest, role="reward hps")]
    assert hashes(ancestors) == {"reward hps.sha256": digest}
    teacher = labelled(tmp_path / "one")
    assert hashes(ancestry({"teacher": teacher})) == {"teacher.manifest_id": Manifest.load(teacher).id}


def test_a_run_writes_over_nothing_but_its_own_releases(tmp_path):
    check_run_dir(tmp_path / "new", {})
    labelled(tmp_path / "release")
    with pytest.raises(ConfigError, match=r"release exists, but there are no checkpoints .* by --run-dir"):
        check_run_dir(tmp_path, {})
    (tmp_path / "images" / "checkpoints" / "step-00000001").mkdir(parents=True)
    check_run_dir(tmp_path, {"teacher": tmp_path / "other"}, begins_in="images")
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(ConfigError, match="release is the student of this run, which would overwrite it"):
        check_run_dir(tmp_path, {"student": tmp_path / "link" / "release"}, begins_in="images")
    labelled(tmp_path / "critics" / "critic")
    with pytest.raises(ConfigError, match="critic exists"):
        check_run_dir(tmp_path / "critics", {}, writes=("release", "critic"))


@pytest.mark.parametrize("name", ["autoencoder", "video_text", "tiny_decoder", "teacher"])
def test_no_training_of_the_world_writes_over_a_release_of_another_origin(road, tmp_path, name):
    config = WorldTinyDecoderConfig(latents=road.latents) if name == "tiny_decoder" else getattr(road, name)
    before = Manifest.load(labelled(tmp_path / "release")).id
    with pytest.raises(ConfigError, match="release exists, but there are no checkpoints"):
        RECIPES[f"world_{name}"].run(config, tmp_path, CPU)
    assert Manifest.load(tmp_path / "release").id == before


def test_what_was_exchanged_since_the_run_began_stops_it(tmp_path):
    places = {"teacher": labelled(tmp_path / "one"), "reward hps": tmp_path / "hps.pt"}
    places["reward hps"].write_bytes(b"weights")
    ancestors = ancestry(places)
    manifest_of("toy", {}, seeds={}, ancestors=ancestors, figures={})
    places["reward hps"].write_bytes(b"others")
    with pytest.raises(CheckpointError, match="the reward hps of this run, was exchanged"):
        manifest_of("toy", {}, seeds={}, ancestors=ancestors, figures={})
    (places["teacher"] / "tokenizer" / "words.json").write_text("[]")  # under the manifest that was there
    with pytest.raises(CheckpointError, match="is not what its manifest says"):
        manifest_of("toy", {}, seeds={}, ancestors=ancestors, figures={})
    with pytest.raises(CheckpointError, match="is not what its manifest says"):
        ancestry(places)


def test_a_student_has_its_teachers_parts_and_its_own_network_and_settings(road, tmp_path):
    teacher = road.root / "teacher" / "release"
    network = UNet3D(load_config(teacher, "unet"))
    diffusion = load_config(teacher, "diffusion")
    save_student(tmp_path / "release", teacher, network, diffusion, manifest(road), Processes(CPU, None))
    verify_release(tmp_path / "release")
    saved = load_component(tmp_path / "release", "unet").state_dict()
    assert all(torch.equal(saved[name], value) for name, value in network.state_dict().items())
    hashes = [Manifest.load(folder).files for folder in (teacher, tmp_path / "release")]
    same = {name for name in hashes[0] if hashes[0][name] == hashes[1].get(name)}
    assert {"autoencoder/model.safetensors", "text_encoder/model.safetensors"} <= same
    assert "unet/model.safetensors" not in same


def test_every_process_gives_its_share_and_the_first_alone_writes(road, tmp_path, monkeypatch):
    teacher, gathered = road.root / "teacher" / "release", []
    network, diffusion = load_component(teacher, "unet"), load_config(teacher, "diffusion")
    monkeypatch.setattr(processes, "rank", lambda: 1)
    monkeypatch.setattr(processes, "is_sharded", lambda network: gathered.append(network) is not None)
    save_student(tmp_path / "release", teacher, network, diffusion, manifest(road), Processes(CPU, None))
    assert gathered == [network]
    assert not (tmp_path / "release").exists()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_sharded_students_are_written_whole_by_two_processes(student_road, tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*command, "-m", "tests.recipes.students_run", str(student_road.root), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for run in ("recovery", "consistency", "distribution_matching"):
        release = tmp_path / run / "release"
        verify_release(release)
        shapes = {name: value.shape for name, value in load_component(release, "unet").state_dict().items()}
        whole = UNet3D(load_config(release, "unet")).state_dict()
        assert shapes == {name: value.shape for name, value in whole.items()}
        generator = torch.Generator().manual_seed(0)
        clip = rufous.load(release, device="cpu")("a red circle moving left", generator=generator).frames[0]
        assert clip.shape == (4, 3, 32, 32)
        assert list((tmp_path / run / "checkpoints").glob("step-*/sharded"))

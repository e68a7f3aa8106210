import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import nn

from rufous.checkpoints.kinds import DiffusionConfig
from rufous.checkpoints.manifest import FORMAT_VERSION, Manifest, Parent
from rufous.checkpoints.release import (
    check_target,
    component_kinds,
    is_release,
    load_component,
    load_config,
    save_release,
    verify_release,
)
from rufous.core.errors import CheckpointError
from rufous.diffusion.sampling import SamplingConfig
from rufous.diffusion.schedules import ScheduleConfig
from rufous.networks.text_encoders import WordTokenizer

DIFFUSION = DiffusionConfig(
    schedule=ScheduleConfig(kind="cosine"),
    prediction_type="v_prediction",
    sampling=SamplingConfig(solver="lcm", num_inference_steps=4, timestep_spacing="lcm"),
    embedded_guidance_scale=7.5,
    height=64,
    width=64,
)
MANIFEST = Manifest(
    name="tiny",
    config={"steps": 3, "optimizer": {"lr": 1e-4}},
    seeds={"weights": 1},
    parents=(Parent(name="teacher", manifest_id="0123456789ab", role="teacher"),),
    licences={"weights": "Apache-2.0"},
    figures={"loss": 0.5},
)


@pytest.fixture
def components(networks: dict[str, nn.Module]) -> dict[str, Any]:
    return {**networks, "tokenizer": WordTokenizer(["a", "red", "ball"]), "scheduler": DIFFUSION}


@pytest.fixture
def folder(components: dict[str, Any], tmp_path: Path) -> Path:
    save_release(tmp_path / "tiny", components, MANIFEST)
    return tmp_path / "tiny"


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_every_component_comes_back_as_it_was(folder: Path, components: dict[str, Any]):
    for name in ("unet", "vae", "text_encoder"):
        network = load_component(folder, name)
        assert network.config == components[name].config
        assert not network.training
        wanted = components[name].state_dict()
        assert all(torch.equal(value, wanted[key]) for key, value in network.state_dict().items())
    assert load_component(folder, "scheduler") == DIFFUSION
    assert load_component(folder, "tokenizer").vocabulary == components["tokenizer"].vocabulary


def test_a_component_is_found_by_its_kind_whatever_it_is_called(
    folder: Path, components: dict[str, Any], tmp_path: Path
):
    renamed = {"vae": "autoencoder", "scheduler": "diffusion"}
    other = tmp_path / "other"
    save_release(other, {renamed.get(name, name): each for name, each in components.items()}, MANIFEST)
    for release in (folder, other):
        assert load_component(release, "diffusion") == DIFFUSION
        assert load_config(release, "autoencoder_kl") == components["vae"].config
        loaded = load_component(release, "autoencoder_kl").state_dict()
        assert all(torch.equal(value, loaded[key]) for key, value in components["vae"].state_dict().items())
    with pytest.raises(CheckpointError, match=r"no component 'vae': .* autoencoder of kind autoencoder_kl"):
        load_component(other, "vae")


def test_a_kind_that_two_components_have_names_neither(components: dict[str, Any], tmp_path: Path):
    save_release(tmp_path / "two", components | {"second": components["vae"]}, MANIFEST)
    with pytest.raises(CheckpointError, match="no component 'autoencoder_kl'"):
        load_component(tmp_path / "two", "autoencoder_kl")


def test_the_manifest_comes_back_and_its_id_is_that_of_the_content(folder: Path, tmp_path: Path):
    manifest = verify_release(folder)
    assert manifest.parents == MANIFEST.parents
    assert manifest.figures == {"loss": 0.5}
    assert {"unet/model.safetensors", "unet/config.json", "model_index.json"} <= manifest.files.keys()
    assert len(manifest.id) == 12
    assert Manifest.load(folder).id == manifest.id != MANIFEST.id


def test_equal_releases_have_equal_ids(folder: Path, components: dict[str, Any], tmp_path: Path):
    assert save_release(tmp_path / "again", components, MANIFEST).id == Manifest.load(folder).id


def test_weights_are_stored_and_loaded_in_the_dtype_asked_for(components: dict[str, Any], tmp_path: Path):
    save_release(tmp_path / "half", components, MANIFEST, dtype=torch.float16)
    assert next(load_component(tmp_path / "half", "vae").parameters()).dtype == torch.float16
    loaded = load_component(tmp_path / "half", "vae", dtype=torch.bfloat16)
    assert next(loaded.parameters()).dtype == torch.bfloat16


def test_the_config_lies_in_the_weights_too(folder: Path):
    with safe_open(folder / "unet" / "model.safetensors", framework="pt") as file:
        metadata = file.metadata()
    assert metadata["kind"] == "unet3d"
    assert json.loads(metadata["config"])["model_channels"] == 32


def test_a_component_of_another_release_is_copied(folder: Path, components: dict[str, Any], tmp_path: Path):
    save_release(
        tmp_path / "next", components | {"vae": folder / "vae", "tokenizer": folder / "tokenizer"}, MANIFEST
    )
    original = (folder / "vae" / "model.safetensors").read_bytes()
    assert (tmp_path / "next" / "vae" / "model.safetensors").read_bytes() == original
    assert component_kinds(tmp_path / "next") == component_kinds(folder)


def test_a_failed_save_leaves_nothing(components: dict[str, Any], tmp_path: Path):
    with pytest.raises(CheckpointError, match="a Linear cannot be a component"):
        save_release(tmp_path / "tiny", components | {"extra": nn.Linear(2, 2)}, MANIFEST)
    assert not list(tmp_path.iterdir())


def test_a_failed_save_leaves_the_old_release(folder: Path, components: dict[str, Any]):
    before = Manifest.load(folder).id
    with pytest.raises(CheckpointError, match="cannot be a component"):
        save_release(folder, components | {"extra": object()}, MANIFEST, overwrite=True)
    assert verify_release(folder).id == before
    assert sorted(path.name for path in folder.parent.iterdir()) == ["tiny"]


def test_another_folder_is_never_overwritten(components: dict[str, Any], tmp_path: Path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("years of work")
    with pytest.raises(CheckpointError, match="not a release, so it is not overwritten"):
        save_release(tmp_path / "home", components, MANIFEST, overwrite=True)
    assert (tmp_path / "home" / "thesis.txt").is_file()


def test_reports_lie_in_the_release_and_are_verified(components: dict[str, Any], tmp_path: Path):
    documents = {"pruning.md": "# Report", "importance.svg": "<svg/>"}
    save_release(tmp_path / "tiny", components, MANIFEST, documents=documents)
    assert documents.keys() <= verify_release(tmp_path / "tiny").files.keys()
    (tmp_path / "tiny" / "pruning.md").write_text("# Better report")
    with pytest.raises(CheckpointError, match=r"changed pruning\.md"):
        verify_release(tmp_path / "tiny")


@pytest.mark.parametrize(
    "name", ["../up.md", "model_index.json", "rufous.json", "README.md", "run.py", ".md"]
)
def test_a_document_cannot_take_another_place(name: str, components: dict[str, Any], tmp_path: Path):
    with pytest.raises(CheckpointError, match="cannot lie in a release"):
        save_release(tmp_path / "tiny", components, MANIFEST, documents={name: "text"})
    assert not (tmp_path / "tiny").exists()


def test_a_place_that_would_be_refused_is_known_before_the_work(folder: Path, tmp_path: Path):
    check_target(tmp_path / "new", overwrite=False)
    check_target(folder, overwrite=True)
    with pytest.raises(CheckpointError, match="ask for it to be overwritten"):
        check_target(folder, overwrite=False)
    with pytest.raises(CheckpointError, match="not a release"):
        check_target(folder / "unet", overwrite=True)


@pytest.mark.parametrize("name", ["../up", "a/b", "", "_class_name", "a b", ".."])
def test_component_names_are_plain_words(name: str, tmp_path: Path):
    with pytest.raises(CheckpointError, match="cannot be a folder"):
        save_release(tmp_path / "tiny", {name: DIFFUSION}, MANIFEST)


def test_every_changed_missing_or_added_file_is_named(folder: Path):
    (folder / "tokenizer" / "words.json").unlink()
    (folder / "vae" / "extra.bin").write_bytes(b"x")
    with open(folder / "unet" / "model.safetensors", "r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x7f")
    with pytest.raises(CheckpointError) as error:
        verify_release(folder)
    for part in ("missing tokenizer/words.json", "not in the manifest vae/extra.bin", "changed unet/model"):
        assert part in str(error.value)


def test_a_readme_and_hidden_files_of_a_hub_do_not_matter(folder: Path):
    (folder / "README.md").write_text("card")
    (folder / ".gitattributes").write_text("x")
    verify_release(folder)


def test_a_truncated_weights_file_is_one_clear_error(folder: Path):
    path = folder / "unet" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="is damaged: it holds"):
        load_component(folder, "unet")


def test_a_config_that_contradicts_the_weights_shows_names_and_shapes(folder: Path):
    edit(folder / "unet" / "config.json", removed_blocks=["middle_block"])
    with pytest.raises(CheckpointError, match=r"unexpected middle_block\.0"):
        load_component(folder, "unet")
    edit(folder / "text_encoder" / "config.json", vocab_size=601)
    with pytest.raises(
        CheckpointError, match=r"shape of token_embedding.weight: \(600, 32\), expected \(601, 32\)"
    ):
        load_component(folder, "text_encoder")


def test_an_unknown_config_field_is_named(folder: Path):
    edit(folder / "unet" / "config.json", model_chanels=32)
    with pytest.raises(CheckpointError, match="did you mean 'model_channels'"):
        load_config(folder, "unet")


def test_a_newer_format_asks_for_an_upgrade(folder: Path):
    edit(folder / "model_index.json", _format_version=FORMAT_VERSION + 1)
    with pytest.raises(CheckpointError, match="upgrade rufous"):
        load_component(folder, "unet")
    edit(folder / "rufous.json", format_version=FORMAT_VERSION + 1)
    with pytest.raises(CheckpointError, match="upgrade rufous"):
        Manifest.load(folder)


def test_an_unknown_kind_lists_the_known_ones(folder: Path):
    edit(folder / "model_index.json", unet=["rufous", "unet4d"])
    with pytest.raises(CheckpointError, match="'unet4d': this code knows unet3d"):
        load_component(folder, "unet")


def test_a_folder_of_diffusers_is_named_as_such(folder: Path):
    edit(folder / "model_index.json", unet=["diffusers", "UNet2DConditionModel"])
    with pytest.raises(CheckpointError, match="none of ours"):
        component_kinds(folder)


def test_missing_parts_say_what_is_missing(folder: Path, tmp_path: Path):
    with pytest.raises(CheckpointError, match="no component 'upscaler': it has unet"):
        load_component(folder, "upscaler")
    (folder / "vae" / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors is missing"):
        load_component(folder, "vae")
    with pytest.raises(CheckpointError, match="not a complete release"):
        load_component(tmp_path / "absent", "vae")
    assert not is_release(tmp_path / "absent")


@pytest.mark.parametrize("text", ["", "[]", "{", "\x00\xff", '{"name": 3}'])
def test_a_damaged_manifest_is_one_clear_error(folder: Path, text: str):
    (folder / "rufous.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"rufous\.json"):
        verify_release(folder)

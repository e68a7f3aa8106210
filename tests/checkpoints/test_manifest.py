from pathlib import Path

import pytest

from rufous.checkpoints.manifest import Manifest, Parent, read_json, record_files
from rufous.core.errors import CheckpointError


def test_the_id_changes_with_any_field():
    manifest = Manifest(name="a")
    assert manifest.id == Manifest(name="a").id
    others = [Manifest(name="b"), Manifest(name="a", seeds={"x": 1}), Manifest(name="a", notes=("n",))]
    assert len({manifest.id, *(other.id for other in others)}) == 4


def test_it_is_read_back_as_it_was_written(tmp_path: Path):
    manifest = Manifest(name="a", parents=(Parent(name="p", sha256="00"),), figures={"fvd": 1.5, "n": [1, 2]})
    manifest.save(tmp_path)
    assert Manifest.load(tmp_path) == manifest


def test_an_unknown_field_is_named(tmp_path: Path):
    (tmp_path / "rufous.json").write_text('{"name": "a", "licenses": {}}')
    with pytest.raises(CheckpointError, match="did you mean 'licences'"):
        Manifest.load(tmp_path)


def test_files_are_recorded_by_their_path_with_forward_slashes(tmp_path: Path):
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "config.json").write_text("{}")
    (tmp_path / "rufous.json").write_text("{}")
    assert list(record_files(tmp_path)) == ["unet/config.json"]


def test_json_that_is_no_object_is_refused(tmp_path: Path):
    (tmp_path / "x.json").write_text("[1]")
    with pytest.raises(CheckpointError, match="holds no JSON object"):
        read_json(tmp_path / "x.json")

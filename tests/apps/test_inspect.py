"""``rufous models``, ``info`` and ``verify``."""

import json
import shutil
from pathlib import Path

import pytest

from rufous.apps import cli
from rufous.checkpoints import DiffusionConfig, Manifest, Parent, save_release


def test_models_lists_published_releases_with_what_was_verified(capsys: pytest.CaptureFixture[str]):
    assert cli.run(["models"]) == cli.DONE
    text = capsys.readouterr().out
    assert "hummingbird-0.7b" in text
    assert "amd/AMD-Hummingbird-T2V/07B_merged_all.pt" in text
    assert "format only" in text
    assert cli.run(["models", "--json"]) == cli.DONE
    assert {"name", "source", "licence", "verified"} <= set(json.loads(capsys.readouterr().out)[-1])


def test_info_prints_parameters_config_and_manifest(tiny_release: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.run(["info", str(tiny_release)]) == cli.DONE
    text = capsys.readouterr().out
    assert "release, 1" in text
    assert "unet (unet3d): 107,900 parameters" in text
    assert '"model_channels": 8' in text
    assert "manifest " in text
    assert cli.run(["info", str(tiny_release), "--json"]) == cli.DONE
    report = json.loads(capsys.readouterr().out)
    assert report["layout"] == "release"
    assert report["manifest"]["name"] == "tiny"


def test_info_of_nothing_fails(capsys: pytest.CaptureFixture[str]):
    assert cli.run(["info", "nowhere"]) == cli.FAILURE
    assert "nowhere does not exist" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["info", "verify"])
def test_a_published_name_means_the_converted_release_in_the_cache(
    command: str, tiny_release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    monkeypatch.setattr("rufous.checkpoints.published.default_cache", lambda: tmp_path)
    assert cli.run([command, "hummingbird-0.7b"]) == cli.FAILURE
    assert "hummingbird-0.7b was not fetched yet" in capsys.readouterr().err
    shutil.copytree(tiny_release, tmp_path / "hummingbird-0.7b-fp16")
    assert cli.run([command, "hummingbird-0.7b"]) == cli.DONE
    assert Manifest.load(tiny_release).id in capsys.readouterr().out


def test_verify_notices_one_changed_byte(
    tiny_release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert cli.run(["verify", str(tiny_release)]) == cli.DONE
    assert "files are as the manifest" in capsys.readouterr().out
    copy = Path(shutil.copytree(tiny_release, tmp_path / "copy"))
    words = copy / "tokenizer" / "words.json"
    words.write_bytes(words.read_bytes().replace(b"circle", b"circus"))
    assert cli.run(["verify", str(copy)]) == cli.FAILURE
    assert "changed tokenizer/words.json" in capsys.readouterr().err


@pytest.fixture
def child(tiny_release: Path, tmp_path: Path) -> Path:
    """A release that names ``tiny_release`` as its teacher."""
    teacher = Parent(name="tiny", manifest_id=Manifest.load(tiny_release).id, role="teacher")
    folder = tmp_path / "child"
    save_release(folder, {"scheduler": DiffusionConfig()}, Manifest(name="child", parents=(teacher,)))
    return folder


def test_verify_prints_the_chain_of_several_releases(
    child: Path, tiny_release: Path, capsys: pytest.CaptureFixture[str]
):
    assert cli.run(["verify", str(tiny_release), str(child)]) == cli.DONE
    ids = [Manifest.load(folder).id for folder in (child, tiny_release)]
    assert capsys.readouterr().out.splitlines() == [
        f"ok       child {ids[0]}",
        f"ok         tiny {ids[1]} (teacher)",
        "2 in the chain: 2 ok",
    ]
    assert cli.run(["verify", str(child), "--in", str(tiny_release.parent)]) == cli.DONE
    assert "ok         tiny" in capsys.readouterr().out


def test_a_missing_parent_fails_only_when_it_must_be_there(child: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.run(["verify", str(child)]) == cli.DONE
    assert "files are as the manifest" in capsys.readouterr().out
    assert cli.run(["verify", str(child), "--chain"]) == cli.DONE
    assert "missing    tiny" in capsys.readouterr().out
    assert cli.run(["verify", str(child), "--strict"]) == cli.FAILURE
    shown = capsys.readouterr()
    assert "missing    tiny" in shown.out
    assert shown.err == "rufous: missing: tiny; give their folders, or one that holds them with --in\n"


def test_a_changed_parent_fails_after_the_whole_tree_is_shown(
    child: Path, tiny_release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    other = Path(shutil.copytree(tiny_release, tmp_path / "other"))
    words = other / "tokenizer" / "words.json"
    words.write_bytes(words.read_bytes().replace(b"circle", b"circus"))
    assert cli.run(["verify", str(child), str(other)]) == cli.FAILURE
    shown = capsys.readouterr()
    assert "changed    tiny" in shown.out
    assert "changed tokenizer/words.json" in shown.out
    assert shown.out.splitlines()[-1] == "2 in the chain: 1 ok, 1 changed"
    assert shown.err.startswith("rufous: changed: tiny; ")

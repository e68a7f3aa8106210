"""``rufous models``, ``info`` and ``verify``."""

import json
import shutil
from pathlib import Path

import pytest

from rufous.apps import cli


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

"""``rufous doctor``."""

import json
import tomllib
from pathlib import Path

import pytest

from rufous.apps import cli, doctor


def test_it_reports_devices_codecs_extras_and_predictions(capsys: pytest.CaptureFixture[str]):
    assert cli.run(["doctor", "--json"]) == cli.DONE
    report = json.loads(capsys.readouterr().out)
    assert "GFLOP/s" in report["devices"]["cpu"]
    assert report["codecs"][".mp4"] == "libx264"
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert set(report["extras"]) == set(project["optional-dependencies"])
    assert "16 frames of 512x320 in 4 steps" in report["generations"]["hummingbird-0.7b"]
    assert report["system"]["threads"] >= 1


def test_the_text_says_what_is_installed(capsys: pytest.CaptureFixture[str]):
    assert cli.run(["doctor"]) == cli.DONE
    text = capsys.readouterr().out
    assert "dev: installed" in text
    assert "memory: " in text


def test_a_missing_encoder_is_told(monkeypatch: pytest.MonkeyPatch):
    from rufous.video import write

    monkeypatch.setattr(write, "ENCODERS", {".xyz": write.Encoder("nothing264", "yuv420p")})
    assert "nothing264 cannot be opened" in doctor._codecs()[".xyz"]

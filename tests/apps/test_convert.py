"""``rufous convert``: how its errors look; the conversion itself has its own tests."""

from pathlib import Path

import pytest
import torch

from rufous.apps import cli


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    class Touch:
        def __reduce__(self):
            return Path.touch, (tmp_path / "executed",)

    torch.save({"weight": Touch()}, tmp_path / "evil.pt")
    output = tmp_path / "release"
    arguments = [str(tmp_path / "evil.pt"), "-o", str(output), "--tokenizer", "none"]
    assert cli.run(["convert", *arguments]) == cli.FAILURE
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert not (tmp_path / "executed").exists()
    assert not output.exists()


def test_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    arguments = [str(tmp_path / "no.ckpt"), "-o", str(tmp_path / "release"), "--tokenizer", "none"]
    assert cli.run(["convert", *arguments]) == cli.FAILURE
    assert "no.ckpt" in capsys.readouterr().err

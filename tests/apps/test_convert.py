"""``rufous convert``: how its errors look; the conversion itself has its own tests."""

from pathlib import Path

import huggingface_hub
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


@pytest.mark.parametrize("exists", [False, True])
def test_a_missing_file_and_a_taken_folder_are_named_without_the_network(
    exists: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object, **__: object) -> str:
        raise AssertionError("the hub is asked")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    if exists:
        (tmp_path / "release").mkdir()
        (tmp_path / "release" / "mine.txt").write_text("mine")
    assert cli.run(["convert", str(tmp_path / "no.ckpt"), "-o", str(tmp_path / "release")]) == cli.FAILURE
    assert ("release exists" if exists else "no.ckpt cannot be read") in capsys.readouterr().err

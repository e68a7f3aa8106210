"""Every example runs, on a tiny model or on tiny settings, and fits on one page."""

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from rufous.networks.unet3d import UNet3D
from tests.checkpoints.tiny_files import TINY_UNET
from tests.tiny_release import tiny_release

EXAMPLES = Path(__file__).parents[2] / "examples"
__all__ = ["tiny_release"]


def main_of(name: str) -> Callable[..., None]:
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]


def test_generate_clip_and_contact_sheet(tiny_release: Path, tmp_path: Path):
    main_of("generate_clip")(str(tmp_path / "clip.mp4"), str(tiny_release))
    main_of("contact_sheet")(str(tmp_path / "clip.mp4"), str(tmp_path / "sheet.png"))
    assert (tmp_path / "sheet.png").stat().st_size > 100


def test_batch_with_seeds(tiny_release: Path, tmp_path: Path):
    main_of("batch_with_seeds")(str(tmp_path), str(tiny_release))
    assert len(list(tmp_path.glob("*.mp4"))) == 3


def test_watch_and_cancel(tiny_release: Path, capsys: pytest.CaptureFixture[str]):
    main_of("watch_and_cancel")(str(tiny_release), tolerance=10.0)
    assert "stopped after 1 steps" in capsys.readouterr().out


def test_render_and_judge(capsys: pytest.CaptureFixture[str]):
    main_of("render_and_judge")("1")
    assert "'shape': 'right'" in capsys.readouterr().out


def test_train_tiny_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    main_of("train_tiny")(str(tmp_path), "2")
    main_of("train_tiny")(str(tmp_path), "3")
    assert "step=3" in capsys.readouterr().out


def test_convert_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    torch.save(UNet3D(TINY_UNET).state_dict(), tmp_path / "unet.pt")
    main_of("convert_checkpoint")(str(tmp_path / "release"), str(tmp_path / "unet.pt"), tokenizer="none")
    assert "unet: " in capsys.readouterr().out


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_examples_are_short_and_say_how_to_run_them(path: Path):
    text = path.read_text()
    assert len(text.splitlines()) <= 40
    assert f"python examples/{path.name}" in text

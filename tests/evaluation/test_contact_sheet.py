from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFont

from rufous.evaluation import (
    ComparedModel,
    Comparison,
    GeneratedClip,
    SeededPrompt,
    compare_models,
    write_contact_sheet,
)
from rufous.evaluation.contact_sheet import MARGIN_PX, draw_contact_sheet, wrap

ROW = SeededPrompt(prompt="a star", seed=0)


def one_clip(frames: torch.Tensor) -> Comparison:
    clip = GeneratedClip(frames=frames, fps=8.0, denoise_s=1.0)
    return compare_models([ComparedModel(label="m", details={}, load=lambda: lambda row: clip)], [ROW])


def ramp(count: int, height: int, width: int) -> torch.Tensor:
    """Frame i has the value 10 * i in green, and red and blue that no text has."""
    frames = torch.full((count, 3, height, width), 255, dtype=torch.uint8)
    frames[:, 1] = (10 * torch.arange(count, dtype=torch.uint8))[:, None, None]
    return frames


def greens(sheet: Image.Image) -> dict[int, int]:
    """How many pixels there are of each frame of a ``ramp``."""
    red, green, blue = np.moveaxis(np.asarray(sheet), -1, 0)
    values, counts = np.unique(green[(red == 255) & (blue == 255) & (green < 255)], return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def test_evenly_spaced_frames_are_enlarged_by_whole_factors():
    sheet = draw_contact_sheet(one_clip(ramp(9, 16, 20)), num_frames=3, frame_px=64)
    assert greens(sheet) == {0: 48 * 60, 40: 48 * 60, 80: 48 * 60}  # 64 // 20 = 3


def test_large_frames_shrink_to_fit_and_keep_their_shape():
    sheet = draw_contact_sheet(one_clip(ramp(2, 100, 200)), num_frames=3, frame_px=64)
    assert greens(sheet) == {0: 64 * 32, 10: 64 * 32}


def test_columns_stand_beside_each_other_and_rows_below(comparison: Comparison):
    width = 3 * 96 + 2 * 2 + 2  # frames of 32 px enlarged to 96, the gaps between them, the border
    sheet = draw_contact_sheet(comparison, num_frames=3, frame_px=96)
    assert sheet.width == 2 * width + 3 * MARGIN_PX
    assert sheet.height > 3 * 96
    shorter = Comparison(models=comparison.models, prompts=comparison.prompts[:1], clips=comparison.clips[:1])
    assert draw_contact_sheet(shorter).height < sheet.height


def test_text_is_written_in_the_margin_under_a_clip():
    sheet = draw_contact_sheet(one_clip(ramp(1, 16, 16)))
    assert (np.asarray(sheet).sum(axis=-1) < 200).sum() > 300


def test_lines_break_between_words_and_inside_a_word_that_is_too_long():
    font = ImageFont.load_default(size=12)
    text = "right 3 of 6; wrong: color; unsure: shape"
    lines = wrap(text, 100, font)
    assert len(lines) > 1
    assert " ".join(lines) == text
    assert all(font.getlength(line) <= 100 for line in lines)
    parts = wrap("a " + "x" * 200, 100, font)
    assert "".join(parts) == "a" + "x" * 200
    assert all(font.getlength(part) <= 100 for part in parts)
    assert wrap("", 100, font) == []


def test_it_is_written_as_png_and_nothing_else_is_left(comparison: Comparison, tmp_path: Path):
    path = write_contact_sheet(tmp_path / "sheet.png", comparison)
    with Image.open(path) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(ValueError, match="num_frames=0"):
        write_contact_sheet(tmp_path / "other.png", comparison, num_frames=0)

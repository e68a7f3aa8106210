"""A comparison as one picture: a few frames of every clip, with what was measured under them."""

from collections.abc import Sequence
from pathlib import Path

from einops import rearrange
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from rufous.core.files import atomic_path
from rufous.evaluation.side_by_side import (
    ComparedClip,
    ComparedModel,
    Comparison,
    figures_text,
    summarize,
    truth_text,
)
from rufous.video.frames import contact_sheet, resize, uniform_indices

MARGIN_PX = 12
GAP_PX, BORDER_PX = 2, 1  # between the frames of a clip, and around them
LABEL_PX, TEXT_PX = 16, 12
MIN_COLUMN_PX = 190  # a verdict needs a few words a line
INK, SOFT_INK, PAPER = (20, 20, 20), (90, 90, 90), (255, 255, 255)
LINE_GREY = 205  # so that white frames end somewhere


def write_contact_sheet(
    path: Path | str, comparison: Comparison, *, num_frames: int = 3, frame_px: int = 96
) -> Path:
    """Write a comparison as a PNG, atomically: rows are prompts, columns are models.

    Args:
        path: The file; its suffix is .png.
        comparison: What to show.
        num_frames: Frames of each clip, evenly spaced; a shorter clip shows all it has.
        frame_px: Longest side of a frame; smaller frames are enlarged by whole factors as far as they fit.

    Returns:
        ``path``.

    Raises:
        ValueError: ``num_frames`` or ``frame_px`` is not positive.
        OSError: The folder cannot be written, or the disk is full; what stood there is untouched.
    """
    sheet = draw_contact_sheet(comparison, num_frames=num_frames, frame_px=frame_px)
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG", optimize=True)
    return Path(path)


def draw_contact_sheet(comparison: Comparison, *, num_frames: int = 3, frame_px: int = 96) -> Image.Image:
    """The picture; see ``write_contact_sheet``."""
    if num_frames < 1 or frame_px < 1:
        raise ValueError(f"num_frames={num_frames} and frame_px={frame_px} must be at least 1")
    strips = [[_strip(clip.clip.frames, num_frames, frame_px) for clip in row] for row in comparison.clips]
    width = max(MIN_COLUMN_PX, *(strip.width for row in strips for strip in row))
    header = [
        _header(model, comparison.column(index), width) for index, model in enumerate(comparison.models)
    ]
    parts = [_beside(header, width)]
    for prompt, clips, row in zip(comparison.prompts, comparison.clips, strips, strict=True):
        cells = [_cell(clip, strip, width) for clip, strip in zip(clips, row, strict=True)]
        body = _beside(cells, width)
        title = _text(f"{prompt.prompt} (seed {prompt.seed})", body.width, LABEL_PX, INK)
        parts.append(_stack([title, body], 6))
    return _with_margin(_stack(parts, 2 * MARGIN_PX))


def wrap(text: str, width_px: int, font: "ImageFont.FreeTypeFont | ImageFont.ImageFont") -> list[str]:
    """Lines of at most ``width_px``, broken between words, and within a word that is wider than a line."""
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width_px:
            lines[-1] += f" {word}"
            continue
        lines.append("")
        for letter in word:
            if lines[-1] and font.getlength(lines[-1] + letter) > width_px:
                lines.append("")
            lines[-1] += letter
    return lines


def _strip(frames: UInt8[Tensor, "f 3 h w"], num_frames: int, frame_px: int) -> Image.Image:
    """Evenly spaced frames beside each other; enlarged ones show clear squares."""
    shown = frames[uniform_indices(len(frames), min(num_frames, len(frames)))].cpu()
    height, width = shown.shape[-2:]
    factor = frame_px // max(height, width)
    if factor:
        shown = shown.repeat_interleave(factor, -1).repeat_interleave(factor, -2)
    else:
        scale = frame_px / max(height, width)
        shown = resize(shown, height=max(1, round(height * scale)), width=max(1, round(width * scale)))
    tiled = contact_sheet(shown, num_columns=len(shown), gap_px=GAP_PX, background=LINE_GREY)
    strip = Image.fromarray(rearrange(tiled, "c h w -> h w c").contiguous().numpy())
    return ImageOps.expand(strip, BORDER_PX, (LINE_GREY,) * 3)


def _header(model: ComparedModel, clips: Sequence[ComparedClip], width: int) -> Image.Image:
    """Name of a model, how it was sampled, and its means over the rows."""
    means = summarize(clips)
    texts = [model.subtitle, f"mean {figures_text(means.motion_magnitude, means.denoise_s)}"]
    if means.num_judged:
        texts.insert(1, f"all right: {means.num_all_right} of {means.num_judged}")
    lines = [_text(text, width, TEXT_PX, SOFT_INK) for text in texts if text]
    return _stack([_text(model.label, width, LABEL_PX, INK), *lines], 2)


def _cell(clip: ComparedClip, strip: Image.Image, width: int) -> Image.Image:
    figures = figures_text(clip.judged.motion_magnitude, clip.clip.denoise_s)
    texts = (truth_text(clip.judged.verdict), figures)
    return _stack([strip, *(_text(text, width, TEXT_PX, INK) for text in texts)], 2)


def _text(text: str, width: int, size: int, ink: tuple[int, int, int]) -> Image.Image:
    """Text in lines of at most ``width``, in the font that Pillow brings along."""
    font = ImageFont.load_default(size=size)
    lines, line_px = wrap(text, width, font), round(size * 1.3)
    image = Image.new("RGB", (width, max(1, len(lines)) * line_px), PAPER)
    draw = ImageDraw.Draw(image)
    for index, line in enumerate(lines):
        draw.text((0, index * line_px), line, fill=ink, font=font)
    return image


def _beside(images: Sequence[Image.Image], width: int) -> Image.Image:
    """Images in columns of ``width`` with a margin between them."""
    step = width + MARGIN_PX
    size = (len(images) * step - MARGIN_PX, max(image.height for image in images))
    joined = Image.new("RGB", size, PAPER)
    for index, image in enumerate(images):
        joined.paste(image, (index * step, 0))
    return joined


def _stack(images: Sequence[Image.Image], gap: int) -> Image.Image:
    """Images under each other with ``gap`` pixels between them."""
    size = (max(image.width for image in images), sum(image.height + gap for image in images) - gap)
    joined = Image.new("RGB", size, PAPER)
    top = 0
    for image in images:
        joined.paste(image, (0, top))
        top += image.height + gap
    return joined


def _with_margin(image: Image.Image) -> Image.Image:
    framed = Image.new("RGB", (image.width + 2 * MARGIN_PX, image.height + 2 * MARGIN_PX), PAPER)
    framed.paste(image, (MARGIN_PX, MARGIN_PX))
    return framed

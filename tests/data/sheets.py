"""Pictures of the documentation: panels with words, strips over time, curves and bars on one white sheet."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
BLUE, RED, GREEN, ORANGE, GREY, PALE = "#2b6cb0", "#c0392b", "#2e7d32", "#d9822b", "#8a8a8a", "#e8eef5"
LINE = 17
"""Pixels from one line of words to the next."""
MAX_BYTES, MAX_WIDTH = 150_000, 1100


class Sheet:
    """A white picture to draw on; places are pixels from the top left corner."""

    def __init__(self, width: int, height: int) -> None:
        self.image = Image.new("RGB", (width, height), "white")
        self.pen = ImageDraw.Draw(self.image)

    def picture(self, frame: np.ndarray, left: float, top: float, width: int) -> int:
        """A frame, RGB uint8 ``h w 3``, at this width; gives the height it takes."""
        height = round(width * frame.shape[0] / frame.shape[1])
        self.image.paste(Image.fromarray(frame).resize((width, height)), (round(left), round(top)))
        return height

    def words(self, text: str, left: float, top: float, *, color: str = "black", size: int = 13) -> None:
        """One or several lines."""
        font = ImageFont.load_default(size)
        for number, line in enumerate(text.split("\n")):
            self.pen.text((left, top + number * (LINE + size - 13)), line, font=font, fill=color)

    def curve(
        self,
        values: Sequence[float],
        box: tuple[float, float, float, float],
        *,
        top: float,
        color: str = BLUE,
    ) -> None:
        """Values from 0 to ``top`` over the width of a box (left, top, right, bottom)."""
        left, upper, right, lower = box
        self.pen.line((left, lower, right, lower), fill=GREY)
        xs = np.linspace(left, right, len(values))
        ys = lower - (lower - upper) * np.clip(np.asarray(values) / top, 0, 1)
        self.pen.line(list(zip(xs.tolist(), ys.tolist(), strict=True)), fill=color, width=2)

    def save(self, name: str, *, colors: int | None = None) -> None:
        """Write it where the pages look for it; ``colors`` makes noisy ones small enough.

        Raises:
            ValueError: It is wider or larger than a page should load.
        """
        PICTURES.mkdir(parents=True, exist_ok=True)
        image = self.image if colors is None else self.image.quantize(colors)
        image.save(PICTURES / name, optimize=True)
        num_bytes = (PICTURES / name).stat().st_size
        if num_bytes > MAX_BYTES or image.width > MAX_WIDTH:
            raise ValueError(
                f"{name} has {num_bytes} bytes and is {image.width} wide: {MAX_BYTES}, {MAX_WIDTH}"
            )
        print(f"{name}: {image.width}x{image.height}, {num_bytes} bytes")


def save(
    name: str,
    panels: Sequence[tuple[np.ndarray, str]],
    *,
    columns: int = 3,
    width: int = 256,
    colors: int | None = None,
) -> None:
    """Panels side by side, each with its words under it."""
    height = round(width * panels[0][0].shape[0] / panels[0][0].shape[1])
    below = 11 + LINE * max(words.count("\n") + 1 for _, words in panels)
    rows = -(-len(panels) // columns)
    sheet = Sheet(columns * (width + 8) + 8, rows * (height + below) + 8)
    for number, (panel, words) in enumerate(panels):
        left, top = 8 + number % columns * (width + 8), 8 + number // columns * (height + below)
        sheet.image.paste(Image.fromarray(panel).resize((width, height)), (left, top))
        sheet.words(words, left, top + height + 4)
    sheet.save(name, colors=colors)

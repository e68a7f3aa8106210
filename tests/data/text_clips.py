"""Pictures of the world and of random textures with text burnt in, and how much of them the text takes."""

from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tests.data.camera_clips import drawn, world_scene

HEIGHT, WIDTH = 320, 512
WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "while"]
WORDS += ["News", "Today", "LIVE", "from", "London", "2024", "shows", "Music", "Summer"]
INKS = ((255, 255, 255), (255, 235, 60), (10, 10, 10), (230, 40, 40), (60, 220, 90))


@dataclass(frozen=True)
class TextPicture:
    """One picture and what is known of its text."""

    frame: np.ndarray
    """RGB, uint8, ``h w 3``."""
    area: float
    """Share of the picture inside the lines' boxes."""
    kind: str


def text_picture(index: int) -> TextPicture:
    """Picture ``index``: two in seven without text, the others with one to three lines of 0.3 to 12 %."""
    rng = np.random.default_rng([4, index])
    kind, frame = _background(rng, index)
    image = Image.fromarray(frame)
    wanted = 0.0 if index % 7 in (0, 3) else float(np.exp(rng.uniform(np.log(0.003), np.log(0.12))))
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    if wanted:
        _write(ImageDraw.Draw(image), rng, mask, wanted)
    return TextPicture(np.asarray(image), float(mask.mean()), kind)


def _background(rng: np.random.Generator, index: int) -> tuple[str, np.ndarray]:
    kind = ("plain", "gradient", "checker", "stripes", "blotches", "noise")[index % 6]
    if kind in ("blotches", "noise"):
        noise = rng.normal(size=(HEIGHT, WIDTH, 3)).astype(np.float32)
        soft = cv2.GaussianBlur(noise, (0, 0), 12 if kind == "blotches" else 1.5)
        spread = 45 if kind == "blotches" else 12
        return kind, np.clip(rng.uniform(60, 190) + spread * soft / soft.std(), 0, 255).astype(np.uint8)
    scene = world_scene(1000 + index, kinds=(kind,))
    return kind, drawn(scene, height=HEIGHT, width=WIDTH, num_frames=1)[0]


def _write(draw: ImageDraw.ImageDraw, rng: np.random.Generator, mask: np.ndarray, wanted: float) -> None:
    """Lines of one size whose boxes take about ``wanted`` of the picture, outlined as subtitles are."""
    num_lines = int(rng.integers(1, 4)) if wanted > 0.02 else 1
    letters = int(rng.integers(8, 26))
    size = float(np.sqrt(wanted * HEIGHT * WIDTH / (num_lines * letters * 0.5)))
    size = float(np.clip(size, 11, 80))
    letters = max(3, round(wanted * HEIGHT * WIDTH / (num_lines * size * size * 0.5)))
    font = ImageFont.load_default(size)
    ink = INKS[rng.integers(len(INKS))]
    edge = (0, 0, 0) if sum(ink) > 200 else (255, 255, 255)
    outline = max(1, round(size / 16))
    top = float(rng.uniform(2, max(3, HEIGHT - num_lines * 1.25 * size - 4)))
    left = float(rng.uniform(2, WIDTH / 2))
    for line in range(num_lines):
        words = " ".join(rng.permutation(WORDS))[:letters].strip()
        place = (left, top + 1.25 * size * line)
        while draw.textlength(words, font=font) + place[0] > WIDTH - 4 and len(words) > 3:
            if place[0] > 4:
                left = max(3.0, left / 2)
                place = (left, place[1])
            else:
                words = words[:-1].strip()
        draw.text(place, words, font=font, fill=ink, stroke_width=outline, stroke_fill=edge)
        x0, y0, x1, y1 = (
            round(each) for each in draw.textbbox(place, words, font=font, stroke_width=outline)
        )
        mask[max(0, y0) : y1, max(0, x0) : x1] = True


def logo_clip(index: int, *, opacity: float = 1.0, moves: bool = True) -> np.ndarray:
    """A texture that drifts, or rests, under the letters of a logo in a corner: frames ``f h w 3``."""
    rng = np.random.default_rng([5, index])
    noise = rng.normal(size=(240, 400, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 5)
    picture = np.clip(128 + 40 * soft / soft.std(), 0, 255).astype(np.uint8)
    logo = Image.new("L", (192, 120))
    place = [(6, 6), (130, 6), (6, 96), (130, 96)][index % 4]
    ImageDraw.Draw(logo).text(place, "Rufous", font=ImageFont.load_default(16), fill=255)
    cover = opacity * np.asarray(logo, dtype=np.float32)[..., None] / 255
    frames = list[np.ndarray]()
    for number in range(24):
        x, y = (4 * number, 2 * number) if moves else (0, 0)
        behind = picture[y : y + 120, x : x + 192]
        frames.append((behind * (1 - cover) + 255 * cover).astype(np.uint8))
    return np.stack(frames)

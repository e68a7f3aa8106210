import numpy as np
import pytest

from rufous.data.stages.borders import Borders
from tests.data.drawings import held, pattern_picture

HEIGHT, WIDTH = 96, 160


def picture(top: int = 0, bottom: int = 0, left: int = 0, right: int = 0, level: int = 0) -> np.ndarray:
    rng = np.random.default_rng(2)
    frames = np.stack([np.maximum(pattern_picture(rng, HEIGHT, WIDTH), 60) for _ in range(4)])
    mask = np.ones((HEIGHT, WIDTH), bool)
    mask[top : HEIGHT - bottom, left : WIDTH - right] = False
    frames[:, mask] = level + rng.integers(0, 4, (4, int(mask.sum()), 3))
    return frames


@pytest.mark.parametrize(
    ("bars", "tag"),
    [
        ({}, "none"),
        ({"top": 12, "bottom": 12}, "letterbox"),
        ({"left": 20, "right": 24}, "pillarbox"),
        ({"top": 10, "bottom": 8, "left": 20, "right": 20}, "windowbox"),
        ({"bottom": 16, "level": 16}, "letterbox"),
    ],
)
def test_bars_are_found_to_the_pixel(bars, tag):
    (clip,) = Borders().process(held(picture(**bars)))
    top, left = bars.get("top", 0), bars.get("left", 0)
    height, width = HEIGHT - top - bars.get("bottom", 0), WIDTH - left - bars.get("right", 0)
    box = [clip.info[f"content_{name}"] for name in ("x", "y", "width", "height")]
    assert box == [left, top, width, height]
    assert clip.tags["borders"] == tag
    assert clip.scores["borders"] == pytest.approx(1 - height * width / (HEIGHT * WIDTH))


def test_a_dark_sky_is_no_bar():
    frames = picture()
    frames[:, :30] = (np.arange(30)[:, None, None] * np.linspace(0, 1.6, WIDTH)[:, None]).astype(np.uint8)
    (clip,) = Borders().process(held(frames))
    assert clip.tags["borders"] == "none"


def test_a_small_thing_on_black_is_no_windowbox():
    frames = np.zeros((4, HEIGHT, WIDTH, 3), np.uint8)
    for i, frame in enumerate(frames):
        frame[40:60, 20 + 20 * i : 40 + 20 * i] = 200
    (clip,) = Borders().process(held(frames))
    assert (clip.tags["borders"], clip.scores["borders"]) == ("none", 0.0)


def test_a_black_clip_is_all_border():
    (clip,) = Borders().process(held(np.zeros((4, HEIGHT, WIDTH, 3), np.uint8)))
    assert (clip.tags["borders"], clip.scores["borders"]) == ("black", 1.0)

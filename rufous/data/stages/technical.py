"""Technical quality without a model: sharpness, noise, coding, banding, exposure, and one score of them.

All but the coding's quantiser is measured on luma at the file's own size, in the few whole frames that all
stages share, and averaged over them. Nothing here knows what a picture shows: a fog is no worse a picture
than its detail and noise make it. Compare clips of like content and codec, or take a low percentile to find
what is broken.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np

from rufous.core.optional import require
from rufous.data.clip import Clip
from rufous.data.coding_traces import coding_traces
from rufous.data.stage import Gives

_MAX_SIDE = 1024
"""Of larger frames the middle is looked at, so that 4K costs no more than 1024x1024."""
_GRID = 8
"""Pixels of a coding block's side, from the top left corner; H.264's transform of 4 and macroblock of 16 have
edges there too."""
_STEP = np.array([[0.5, -1.5, 1.5, -0.5]], dtype=np.float32)
"""How far the step between two pixels departs from the steps on its two sides; 0 on any even slope."""
_SMOOTH = 5
"""Pixels of the box over which luma is smoothed before its gradient is taken: ringing has no edges then."""
_SLOPE_OF_NOISE = 2 * 2 / _SMOOTH**3
"""Squared gradient of smoothed white noise of unit deviation."""
_CALMEST = 20
"""Percentile of the blocks whose noise counts: the others have edges."""
_OF_CALMEST = 0.82
"""What that percentile is of white noise's deviation: the calmest blocks are so by chance as well (measured
on textures with noise of 3 to 12 levels)."""
_NOISE_OF_ROUNDING = 12**-0.5
"""Deviation that whole levels have anyway: less noise is none."""
_BLOCK_STEP = 4.0
"""Levels to which steps are cut before those on the grid are compared: the picture's edges are larger."""
_EDGE_SPAN = 15
"""Pixels over which an edge may rise or fall."""
_LEAST_EDGE = 8.0
"""Levels that an edge rises at least."""
_LAPLACIANS = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
_DIFFERENCE = np.array([[0, -1, 1]], dtype=np.float32)


@dataclass(frozen=True, kw_only=True)
class Technical:
    """Model-free quality; ``technical`` is what a filter should look at, the parts say why.

    Scores:
        ``technical``: in [0, 1], higher is better: the product of what the parts below are worth.
        ``technical_sharpness``: luma levels per pixel of the gradient, RMS, without what noise and false
            steps add; 0 (flat) to about 40; higher is sharper, and more detailed.
        ``technical_noise``: standard deviation of white noise, in luma levels; lower is better.
        ``technical_quantizer``: step of the file's own quantiser, in luma levels, as its decoder tells it;
            lower is better, 0 where nothing is told: see ``rufous.video.quantizer``.
        ``technical_steps``: levels per pixel of steps into which coding gathered slopes; lower is better.
        ``technical_banding``: levels by which calm parts differ from their wide surroundings; lower is
            better, but soft shading counts too.
        ``technical_unevenness``: levels by which calm blocks of 16x16 stand out from their neighbours.
        ``technical_blockiness``: how much larger steps are on the coding grid than off it, less 1; 0 is none.
            No part of the joint score: H.264 smooths its grid away, and edges of drawings lie on it as well.
        ``technical_edge_width``: pixels in which the highest edges rise or fall, 1 to 1.5 in a sharp drawing
            and 2.5 times the deviation of a Gaussian blur; lower is sharper, whatever the contrast; 0 where
            there is no edge. No part of the joint score: noise shortens edges.
        ``technical_exposure``: in [0, 1]: share of pixels not clipped, times contrast by ``full_contrast``.

    Source:
        Quantiser: ITU-T P.1204.3, which rates video by it.

        Noise: Immerkaer 1996, "Fast noise variance estimation"; here by blocks, of which the calmest count
        and those whose response is not that of white noise count less, as texture's is not. Blockiness: steps
        across the grid against the others, after Wang, Bovik and Evans 2000, "Blind measurement of blocking
        artifacts in images". Steps, banding and unevenness: this project's, see ``coding_traces``. Sharpness:
        gradient energy ("Tenengrad", compared with others by Pertuz, Puig and Garcia 2013) over a smoother
        picture; the variance of the Laplacian was tried, and rises where compression makes blocks and ringing
        of smooth pictures. Width of edges: an edge's height over its steepest step, after Marziliano et al.
        2002, "A no-reference perceptual blur metric". How they are joined is this project's choice.
    """

    name: ClassVar[str] = "technical"
    after: ClassVar[tuple[str, ...]] = ()
    version: ClassVar[int] = 4
    needs_gpu: ClassVar[bool] = False
    gives: ClassVar[Gives] = Gives(
        numbers=(
            "technical",
            "technical_sharpness",
            "technical_noise",
            "technical_quantizer",
            "technical_steps",
            "technical_banding",
            "technical_unevenness",
            "technical_blockiness",
            "technical_exposure",
            "technical_edge_width",
        ),
    )

    half_sharpness: float = 2.5
    """Sharpness that is worth 0.625: half-way from a flat picture, which is worth a quarter, to 1."""
    half_noise: float = 5.0
    """Noise that is worth a half."""
    half_quantizer: float = 180.0
    """Quantiser's step that is worth a half: H.264 has it at QP 49; 6 levels, at QP 20, take 5 %."""
    half_steps: float = 3.0
    """False steps that are worth a half."""
    full_banding: float = 1.0
    """Banding that takes 13 %; each doubling beyond takes up to as much again."""
    full_unevenness: float = 0.3
    """Unevenness that takes 9 %, likewise."""
    bad_exposure: float = 0.3
    """Exposure from which on it takes nothing from the joint score; 0 takes a fifth."""
    full_contrast: float = 0.2
    """Deviation of luma, times the root of 12, as a share of the range, that is contrast enough: a ramp is as
    high. Percentiles were tried: blur spreads a small thing over more of the picture, and raises them."""

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)} must be above 0")

    def process(self, clip: Clip) -> list[Clip]:
        """The clip with its scores."""
        cv2 = require("cv2", extra="curate")
        frames = clip.frames()
        luma = [cv2.cvtColor(_middle(frame), cv2.COLOR_RGB2GRAY) for frame in frames.full]
        scores = self.measure(luma, quantizer=frames.quantizer or 0.0)
        named = {f"technical_{part}" if part else "technical": value for part, value in scores.items()}
        return [clip.with_scores(**named)]

    def measure(self, luma: Iterable[np.ndarray], *, quantizer: float = 0.0) -> dict[str, float]:
        """Scores by part, of frames ``h w``, uint8; the joint one under an empty name.

        Args:
            luma: The frames.
            quantizer: Step of their coding, luma levels.
        """
        rows = [_parts(frame, self.full_contrast) for frame in luma]
        parts = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
        parts["quantizer"] = quantizer
        return {"": self._worth(parts), **parts}

    def _worth(self, parts: Mapping[str, float]) -> float:
        sharpness = parts["sharpness"]
        worth = (sharpness + 0.25 * self.half_sharpness) / (sharpness + self.half_sharpness)
        noise = max(0.0, parts["noise"] ** 2 - _NOISE_OF_ROUNDING**2) ** 0.5
        worth /= (1 + noise / self.half_noise) * (1 + parts["steps"] / self.half_steps)
        worth /= (1 + 3 * parts["quantizer"] / self.half_quantizer) ** 0.5
        worth /= (1 + parts["banding"] / self.full_banding) ** 0.2
        worth /= (1 + parts["unevenness"] / self.full_unevenness) ** 0.13
        return worth * (0.8 + 0.2 * min(1.0, parts["exposure"] / self.bad_exposure))


def _middle(frame: np.ndarray) -> np.ndarray:
    """The middle of a large frame, from whole coding blocks on."""
    top, left = (max(0, size - _MAX_SIDE) // 2 // _GRID * _GRID for size in frame.shape[:2])
    return frame[top : top + _MAX_SIDE, left : left + _MAX_SIDE]


def _parts(luma: np.ndarray, full_contrast: float) -> dict[str, float]:
    cv2 = require("cv2", extra="curate")
    pixels = luma.astype(np.float32)
    noise = _noise(pixels)
    smooth = cv2.blur(pixels, (_SMOOTH, _SMOOTH))
    traces = coding_traces(pixels, smooth, span=_SMOOTH)
    on_grid, off_grid = np.sum([_steps(pixels), _steps(pixels.T)], axis=0)
    blockiness = max(0.0, on_grid / off_grid - 1) if off_grid > 0.01 else 0.0
    clipped = float(((luma <= 4) | (luma >= 251)).mean())
    contrast = float(luma[::2, ::2].std()) * 12**0.5 / 255
    widths = np.concatenate([_edge_widths(pixels), _edge_widths(pixels.T)])
    return {
        "sharpness": max(0.0, traces.slope**2 - _SLOPE_OF_NOISE * noise**2) ** 0.5,
        "noise": noise,
        "steps": traces.steps,
        "banding": traces.bands,
        "unevenness": traces.unevenness,
        "blockiness": blockiness,
        "exposure": (1 - clipped) * min(1.0, contrast / full_contrast),
        "edge_width": float(np.percentile(widths, 25)) if widths.size else 0.0,
    }


def _edge_widths(pixels: np.ndarray) -> np.ndarray:
    """Of the highest edges along rows, the height over the steepest step: pixels."""
    cv2 = require("cv2", extra="curate")
    if pixels.shape[1] < 2:
        return np.zeros(0)
    row = np.ones((1, _EDGE_SPAN), dtype=np.uint8)
    pixels = np.ascontiguousarray(pixels)
    steps = np.abs(np.diff(pixels, axis=1))
    height = (cv2.dilate(pixels, row) - cv2.erode(pixels, row))[:, :-1]
    is_edge = (steps == cv2.dilate(steps, row)) & (height >= max(_LEAST_EDGE, float(height.max()) / 2))
    return height[is_edge] / steps[is_edge]


def _steps(pixels: np.ndarray) -> tuple[float, float]:
    """Mean departure of the steps along rows, on the grid and off it."""
    cv2 = require("cv2", extra="curate")
    if pixels.shape[1] < 2 * _GRID:
        return 0.0, 0.0
    steps = np.abs(cv2.filter2D(np.ascontiguousarray(pixels), -1, _STEP, anchor=(1, 0)))
    columns = cv2.reduce(np.minimum(steps, _BLOCK_STEP), 0, cv2.REDUCE_AVG)[0, 1:-2]
    is_grid = (np.arange(len(columns)) + 2) % _GRID == 0  # column i is the step from pixel i + 1
    return float(columns[is_grid].mean()), float(columns[~is_grid].mean())


def _noise(pixels: np.ndarray) -> float:
    """Standard deviation of white noise in the calmest blocks of 8x8 that are not clipped."""
    cv2 = require("cv2", extra="curate")
    height, width = (size // _GRID * _GRID for size in pixels.shape)
    if not height or not width:
        return 0.0
    size = width // _GRID, height // _GRID

    def by_block(values: np.ndarray) -> np.ndarray:
        return cv2.resize(values[:height, :width], size, interpolation=cv2.INTER_AREA)

    response = by_block(np.abs(cv2.filter2D(pixels, -1, _LAPLACIANS)))
    slope = by_block(np.abs(cv2.filter2D(pixels, -1, _DIFFERENCE)))
    level = by_block(pixels)
    deviation = response * np.sqrt(np.pi / 2) / 6
    likeness = np.clip((response / np.maximum(slope, 1e-3) - 2.2) / 1.6, 0.0, 1.0)  # 4.2 for white noise
    is_told = (level > 12) & (level < 243)
    if is_told.mean() < 0.05:
        is_told[:] = True
    return float(np.percentile((deviation * likeness)[is_told], _CALMEST)) / _OF_CALMEST

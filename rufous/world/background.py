"""The background of a clip, estimated from its pixels: kind, colours, and a pattern's motion.

Each hypothesis of kind and colours is charged the truncated distance to every pixel, so that things, which
cover less than half of the frame, cannot outvote the background whatever their place.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from rufous.world.pixels import distance, planar, squared_length
from rufous.world.scene import BACKGROUND_COLORS, MIN_CONTRAST

NAMES = tuple(BACKGROUND_COLORS)
PALETTE = np.array([BACKGROUND_COLORS[name] for name in NAMES], dtype=np.float32)
PAIRS = tuple(
    (a, b)
    for a in range(len(NAMES))
    for b in range(a + 1, len(NAMES))
    if np.linalg.norm(PALETTE[a] - PALETTE[b]) >= MIN_CONTRAST
)
TRUNCATION = 60.0
"""RGB distance from which a pixel counts as not explained at all."""
MIN_PATTERN_CORRELATION = 0.7
MAX_PATTERN_COST = 0.9
"""Cost of a pattern, as a share of that of the best colour or gradient, below which it is believed."""
FIELD_RANGE = (0.09, 0.6)
"""Widths of a pattern's field that are looked for, as fractions of the shorter side."""
MIN_EXPLAINED = 0.4
"""Share of the pixels from which a background is believed."""
SAMPLED_FRAMES = 6


@dataclass(frozen=True)
class Registration:
    """Where the pattern lies in each frame [f]; one that stands, or no pattern, has pan 0 and zoom 1."""

    pan_x: np.ndarray
    """In shorter sides, 0 in the middle of the clip."""
    pan_y: np.ndarray
    zoom: np.ndarray


@dataclass(frozen=True)
class BackgroundFit:
    """The background that explains the clip best."""

    kind: str
    colors: tuple[str, ...]
    values: np.ndarray
    """Fitted background without things [f h w 3], RGB in [0, 255]."""
    registration: Registration
    doubt: str | None
    """Why kind and colours should not be claimed, or None."""
    explained: float
    """Share of the pixels that are near to the fitted background."""


def fit_background(video: np.ndarray) -> BackgroundFit:
    """Find the kind, the colours and the motion of the background.

    Args:
        video: Frames [f h w 3], RGB in [0, 255].
    """
    num_frames, height = video.shape[:2]
    picked = np.unique(np.linspace(0, num_frames - 1, SAMPLED_FRAMES).round().astype(int))
    sample = planar(_pooled(video[picked]))
    smooth = _smooth_candidates(sample)
    first, second = np.argsort([np.mean(cost) for _, cost in smooth])[:2]
    (kind_colors, cost), runner_up = smooth[first], smooth[second]
    bearable = float(MAX_PATTERN_COST * cost.mean())
    pattern = _fit_pattern(video, sample, bearable)
    if pattern is not None:
        kind, pair, values, registration = pattern
        if _cost(_pooled(values[picked]), sample).mean() < bearable:
            values = values + _frame_offsets(video, values)
            explained = _explained(video, values)
            doubt = _palette_doubt(explained, values, kind, pair)
            names = tuple(NAMES[index] for index in pair)
            values = _along_borders(video, values, pair)
            return BackgroundFit(kind, names, values, registration, doubt, explained)
    still = Registration(np.zeros(num_frames), np.zeros(num_frames), np.ones(num_frames))
    kind = "plain" if len(kind_colors) == 1 else "gradient"
    values = _refined_rows(video, _rows(kind_colors, height))
    explained = _explained(video, values)
    doubt = _palette_doubt(explained, values, kind, kind_colors)
    if np.mean(cost > runner_up[1]) > 0.2:
        doubt = "the background changes during the clip"
    names = tuple(NAMES[index] for index in kind_colors)
    return BackgroundFit(kind, names, values, still, doubt, explained)


def _pooled(video: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels."""
    height, width = video.shape[1] // 2 * 2, video.shape[2] // 2 * 2
    even = video[:, :height, :width]
    return (even[:, ::2, ::2] + even[:, 1::2, ::2] + even[:, ::2, 1::2] + even[:, 1::2, 1::2]) / 4


def _cost(values: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """Truncated distance in [0, 1], one mean a frame."""
    return _mean_of_frames(distance(values, sample))


def _mean_of_frames(off: np.ndarray) -> np.ndarray:
    """Mean [... f] of truncated distances [... f h w], which it overwrites."""
    off /= TRUNCATION
    return np.minimum(off, 1, out=off).mean(axis=(-2, -1))


def _rows(colors: tuple[int, ...], height: int) -> np.ndarray:
    mix = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    return PALETTE[colors[0]] * (1 - mix) + PALETTE[colors[-1]] * mix


def _smooth_candidates(sample: np.ndarray) -> list[tuple[tuple[int, ...], np.ndarray]]:
    """Every plain colour and every gradient, with its cost in each sampled frame."""
    options: list[tuple[int, ...]] = [(index,) for index in range(len(NAMES))]
    options += [pair for a, b in PAIRS for pair in ((a, b), (b, a))]
    rows = np.stack([_rows(colors, sample.shape[1]) for colors in options])
    costs = _mean_of_frames(distance(rows[:, None, :, None], sample))
    return list(zip(options, costs, strict=True))


def _refined_rows(video: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Line from top to bottom fitted to the pixels near the palette's, with one offset a frame."""
    near = distance(video, rows[:, None]) < TRUNCATION
    weight = near.sum(axis=(0, 2)).astype(np.float32)
    mean = np.einsum("fhw,fhwc->hc", near.astype(np.float32), video) / np.maximum(weight, 1)[:, None]
    position = np.linspace(-1, 1, len(rows), dtype=np.float32)
    design = np.stack([np.ones_like(position), position], axis=1)
    gram = design.T @ (design * weight[:, None])
    line = design @ np.linalg.lstsq(gram, design.T @ (mean * weight[:, None]), rcond=None)[0]
    values = np.broadcast_to(line[:, None], video.shape[1:])[None]
    return values + _frame_offsets(video, values)


def _frame_offsets(video: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Mean difference of each frame to the background where it is seen: absorbs flicker."""
    difference = video - values
    near = squared_length(difference) < TRUNCATION**2
    count = np.maximum(near.sum(axis=(1, 2)), 1)[:, None]
    total = np.einsum("fhw,fhwc->fc", near.astype(np.float32), difference)
    return (total / count)[:, None, None].astype(np.float32)


def _explained(video: np.ndarray, values: np.ndarray) -> float:
    return float((distance(video, values) < TRUNCATION).mean())


def _palette_doubt(explained: float, values: np.ndarray, kind: str, colors: tuple[int, ...]) -> str | None:
    """A fitted end colour that is nearer to another name, or too few pixels explained."""
    if explained < MIN_EXPLAINED:
        return f"the best background, {kind}, explains only {explained:.0%} of the pixels"
    if kind in ("plain", "gradient"):
        ends = values[:, [0, -1], 0].mean(axis=0)[: len(colors)]
        for end, color in zip(ends, colors, strict=True):
            distances = np.linalg.norm(PALETTE - end, axis=1)
            if distances[color] > 0.8 * np.delete(distances, color).min():
                return f"a background colour lies between {NAMES[color]} and another"
    return None


def _fit_pattern(
    video: np.ndarray, sample: np.ndarray, bearable: float
) -> tuple[str, tuple[int, int], np.ndarray, Registration] | None:
    """Checker or stripes of the two colours that explain the clip best.

    None if there are no fields, or if no pattern of these colours can cost less than what is bearable: the
    distance to the nearest mixture of the two is the least that any of them costs.
    """
    off = [np.minimum(distance(sample, color) / TRUNCATION, 1) for color in PALETTE]
    pair = min(PAIRS, key=lambda pair: float(np.minimum(off[pair[0]], off[pair[1]]).mean()))
    low, high = PALETTE[pair[0]], PALETTE[pair[1]]
    if _mean_of_frames(_mixed(sample, low, high)[1]).mean() > bearable + 1e-4:  # beyond what rounding does
        return None
    mix, rest = _mixed(planar(video), low, high)
    sign = np.where(rest < TRUNCATION, 2 * mix - 1, 0)
    rows, columns = _rank_one(sign)
    striped = np.abs(np.sign(rows).mean(axis=1)) > 0.75
    kind = "stripes" if striped.mean() > 0.5 else "checker"
    side = min(video.shape[1:3])
    if kind == "stripes":
        columns = columns * np.where(rows.mean(axis=1) < 0, -1, 1)[:, None]
        profiles = [columns]
    else:
        profiles = [columns, rows]
    waves, field, phases, correlation = _fit_waves(profiles, side)
    if np.median(correlation) < MIN_PATTERN_CORRELATION:
        return None
    product = waves[0][:, None, :] * (waves[1][:, :, None] if kind == "checker" else 1)
    product = np.broadcast_to(product, sign.shape)
    if (product * sign).sum() < 0:
        product = -product
    values = low + (0.5 + 0.5 * product[..., None]) * (high - low)
    pans = [_unwrapped(phase, field) for phase in phases]
    registration = Registration(
        pans[0], pans[1] if len(pans) > 1 else np.zeros_like(pans[0]), field / np.median(field)
    )
    return kind, pair, values.astype(np.float32), registration


def _mixed(video: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of the second colour in the mixture that is nearest to each pixel, and the distance to that."""
    axis = (high - low) / np.dot(high - low, high - low)
    red, green, blue = ((video[..., channel] - low[channel]) * axis[channel] for channel in range(3))
    mix = np.clip(red + green + blue, 0, 1)
    nearest = [low[channel] + mix * (high - low)[channel] for channel in range(3)]
    return mix, distance(video, np.stack(nearest, axis=0).transpose(1, 2, 3, 0))


def _rank_one(sign: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Leading singular vectors of each frame: both patterns are products of a row and a column."""
    gram = sign @ sign.transpose(0, 2, 1)
    start = np.linalg.norm(gram, axis=1).argmax(axis=1)
    rows = gram[np.arange(len(gram)), :, start]
    for _ in range(8):
        rows = np.einsum("fij,fj->fi", gram, rows)
        rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return rows, np.einsum("fij,fi->fj", sign, rows)


def _fit_waves(
    profiles: list[np.ndarray], side: int
) -> tuple[list[np.ndarray], np.ndarray, list[np.ndarray], np.ndarray]:
    """Square waves of one common field width for each profile [f n]: waves, width, phases, correlation."""
    fields, steps = _wave_grid()
    scores, phases = [], []
    for profile in profiles:
        bank, bank_norms = _wave_bank(profile.shape[1], side)
        norms = np.linalg.norm(profile, axis=1)[:, None] * bank_norms
        score = np.abs(profile @ bank.T / np.maximum(norms, 1e-9)).reshape(-1, len(fields), len(steps))
        scores.append(score.max(axis=2))
        phases.append(score.argmax(axis=2))
    best = np.sum(scores, axis=0).argmax(axis=1)
    frames = np.arange(len(best))
    found = [fields[best] * steps[phase[frames, best]] for phase in phases]
    field = fields[best]
    for reach in (1.0, 0.3, 0.1):
        field, found, correlation = _refined_waves(profiles, side, field, found, reach)
    waves = [_waves(p.shape[1], side, field, phase) for p, phase in zip(profiles, found, strict=True)]
    signs = [np.sign((w * p).sum(axis=1, keepdims=True)) for w, p in zip(waves, profiles, strict=True)]
    return [w * s for w, s in zip(waves, signs, strict=True)], field, found, correlation


def _wave_grid() -> tuple[np.ndarray, np.ndarray]:
    """Widths that are tried, and phases in those widths."""
    return np.geomspace(*FIELD_RANGE, 100), np.linspace(0, 2, 32, endpoint=False)


@cache
def _wave_bank(length_px: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Square waves [width * phase length] of every width and phase of the grid, and their norms."""
    fields, steps = _wave_grid()
    bank = _waves(length_px, side, fields[:, None], fields[:, None] * steps).reshape(-1, length_px)
    norms = np.linalg.norm(bank, axis=1)
    for kept in (bank, norms):
        kept.setflags(write=False)
    return bank, norms


def _refined_waves(
    profiles: list[np.ndarray], side: int, field: np.ndarray, phases: list[np.ndarray], reach: float
) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """One round of local search around each frame's width and phases."""
    scales = 1 + reach * np.linspace(-0.016, 0.016, 5)
    shifts = reach * np.linspace(-0.06, 0.06, 9)
    tried = field[:, None, None] * scales[:, None]
    total, options = 0.0, []
    for profile, phase in zip(profiles, phases, strict=True):
        option = phase[:, None, None] * scales[:, None] + field[:, None, None] * shifts
        bank = _waves(profile.shape[1], side, np.broadcast_to(tried, option.shape), option)
        norms = np.linalg.norm(profile, axis=1)[:, None, None] * np.linalg.norm(bank, axis=-1)
        score = np.abs(np.einsum("fn,fabn->fab", profile, bank)) / np.maximum(norms, 1e-9)
        total = total + score.max(axis=2)
        options.append(np.take_along_axis(option, score.argmax(axis=2)[..., None], axis=2)[..., 0])
    best = np.asarray(total).argmax(axis=1)
    frames = np.arange(len(best))
    return (
        tried[frames, best, 0],
        [option[frames, best] for option in options],
        np.asarray(total)[frames, best] / len(profiles),
    )


def _waves(length_px: int, side: int, field: np.ndarray, phase: np.ndarray) -> np.ndarray:
    """Square waves [... length_px] with borders one pixel soft; lengths in shorter sides from the middle."""
    x = ((np.arange(length_px) + 0.5 - length_px / 2) / side).astype(np.float32)
    field, phase = np.broadcast_arrays(np.asarray(field)[..., None], np.asarray(phase)[..., None])
    offset = (x - phase) / field
    offset -= 2 * np.floor(offset / 2)  # the remainder by 2, several times as fast as the operator
    offset = np.abs(offset - 1.0) - 0.5
    return np.clip(2 * offset * side * field, -1, 1).astype(np.float32)


def _unwrapped(phase: np.ndarray, field: np.ndarray) -> np.ndarray:
    """Phase without jumps by whole fields, zero in the middle of the clip."""
    width = float(np.median(field))
    path = np.unwrap(phase, period=width)
    return path - path[len(path) // 2]


def _along_borders(video: np.ndarray, values: np.ndarray, pair: tuple[int, int]) -> np.ndarray:
    """Lets pixels beside a border take any mixture of both colours, for borders blurred or a little off."""
    low, high = PALETTE[pair[0]], PALETTE[pair[1]]
    axis = (high - low) / np.dot(high - low, high - low)
    fitted, seen = (values - low) @ axis, (video - low) @ axis
    least, most = fitted, fitted
    for dimension in (1, 2):
        beside = [np.roll(least, step, axis=dimension) for step in (-1, 1)]
        least = np.minimum(least, np.minimum(*beside))
        beside = [np.roll(most, step, axis=dimension) for step in (-1, 1)]
        most = np.maximum(most, np.maximum(*beside))
    mix = np.clip(seen, least, most)
    return (values + (mix - fitted)[..., None] * (high - low)).astype(np.float32)

"""The things of a clip as masks over time, found by their difference to the fitted background.

Pixels are grouped by colour first and by connectedness second, so that two things that touch stay two, and a
thing that changes its colour or is half faded stays one and is flagged.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from rufous.world.pixels import (
    around,
    blurred,
    distance,
    grown,
    highest_nearby,
    label_blobs,
    median_of,
    planar,
    quantile_of,
    squared_distance,
    squared_length,
)
from rufous.world.scene import COLORS

NAMES = tuple(COLORS)
PALETTE = np.array([COLORS[name] for name in NAMES], dtype=np.float32)
MIN_DIFFERENCE = 42.0
"""RGB distance to the background from which a pixel belongs to a thing."""
MIN_BLOB = 0.003
"""Smallest blob, as a fraction of the squared shorter side (the smallest thing of the world covers 0.011)."""
CORE_SHARE, CORE_SLACK = 0.95, 22.0
"""Inside of a thing: share of the largest difference within two pixels, less a slack for noise."""
MIN_OPACITY = 0.45
"""Opacity from which a pixel belongs to a thing whose colour is known."""
MIN_FADED_OPACITY = 0.3
"""Opacity down to which a pixel counts as a part of the thing, if a faded one."""
MAX_FOREIGN_SHARE = 0.2
"""Share of a thing inside its rim that may be faded or of another colour: whole things stay below 0.12 under
noise and H.264, a half faded or recoloured thing starts at 0.35."""
CLUSTER_RADIUS = 55.0
MARGIN = 4
"""Pixels beside a thing that are looked at with it: no step here reaches farther than three."""
MAX_THINGS = 4


@dataclass(frozen=True)
class Segment:
    """One thing over time, as soft masks and a colour."""

    alpha: np.ndarray
    """Opacity [f h w], about 0 to 1, zero far from the thing."""
    mask: np.ndarray
    """Pixels of the thing [f h w], bool."""
    rgb: np.ndarray
    """Colour of the inside [3], RGB in [0, 255]."""
    light: np.ndarray
    """Brightness of the inside in each frame [f], in [0, 255]; NaN where the thing is absent."""
    color: str | None
    color_doubt: str | None
    color_margin: float
    """How much nearer the named colour is than the next, in [0, 1]."""


def segment_things(video: np.ndarray, background: np.ndarray) -> tuple[Segment, ...]:
    """Find the things of a clip.

    Args:
        video: Frames [f h w 3], RGB in [0, 255].
        background: Fitted background [f h w 3].

    Returns:
        Things, the largest first; empty if nothing stands out.
    """
    video, background = planar(video), planar(background)
    off = np.sqrt(squared_length(blurred(video - background)))
    labels = label_blobs(off > MIN_DIFFERENCE)
    smallest = max(MIN_BLOB * min(video.shape[1:3]) ** 2, 6.0)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    labels[sizes[labels] < smallest] = 0
    if not labels.any():
        return ()
    near = around(labels > 0, MARGIN)
    found = _segments_near(video[near], background[near], off[near], labels[near], smallest)
    return tuple(_in_frame(segment, near, labels.shape) for segment in found)


def _segments_near(
    video: np.ndarray, background: np.ndarray, off: np.ndarray, labels: np.ndarray, smallest: float
) -> list[Segment]:
    """The things in a part of the frame that holds all of them, the largest first."""
    mask = labels > 0
    core = mask & (off > CORE_SHARE * highest_nearby(off, 2) - CORE_SLACK)
    seen = blurred(video)
    groups = _color_groups(seen, background, mask, core, labels)
    segments: list[Segment] = []
    tracks = [(rgb, track, doubt) for rgb, part, doubt in groups for track in _tracks(part, smallest)]
    for index, (rgb, track, doubt) in enumerate(tracks):
        others = np.zeros_like(mask)
        for _, other, _ in tracks[:index] + tracks[index + 1 :]:
            others |= other
        near = around(track, MARGIN)
        part = (video[near], background[near], seen[near], track[near], (core & track)[near], others[near])
        segments.append(_in_frame(_segment(*part, rgb, doubt), near, mask.shape))
    return sorted(segments, key=lambda segment: -int(segment.mask.sum()))[:MAX_THINGS]


def _in_frame(segment: Segment, near: tuple[slice, slice, slice], shape: tuple[int, int, int]) -> Segment:
    """A segment of a part of the frame, put back in its place."""
    alpha, mask = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=bool)
    alpha[near], mask[near] = segment.alpha, segment.mask
    return replace(segment, alpha=alpha, mask=mask)


def _color_groups(
    seen: np.ndarray, background: np.ndarray, mask: np.ndarray, core: np.ndarray, labels: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray, str | None]]:
    """Split the mask by colour; each group is its colour, its mask, and why the colour is in doubt."""
    colors = seen[core]
    member = _clusters(colors)
    count = member.max(initial=-1) + 1
    if count == 0:
        return [(median_of(seen[mask]), mask, "too few pixels show the colour of the thing")]
    centers = np.array([median_of(colors[member == k]) for k in range(count)])
    if count == 1:
        return [(centers[0], mask, None)]
    votes = np.zeros((count, *mask.shape), dtype=np.float32)
    for k in range(count):
        votes[k][core] = member == k
        votes[k] = blurred(blurred(blurred(votes[k])))
    nearest = np.where(mask, votes.argmax(axis=0), -1)
    reached = votes.max(axis=0) > 0
    parts = [(nearest == k) & reached for k in range(count)]
    rims = _is_rim(seen, background, centers, [part & core for part in parts])
    return _merge(parts, labels, centers, rims)


def _clusters(colors: np.ndarray) -> np.ndarray:
    """Cluster number of each core pixel; -1 for the rare pixel of no cluster."""
    names = squared_distance(colors[:, None], PALETTE).argmin(axis=1)
    member = np.full(len(colors), -1)
    for number in range(MAX_THINGS):
        free = member < 0
        if free.sum() < max(20, 0.06 * len(colors)):
            break
        name = np.bincount(names[free]).argmax()
        center = median_of(colors[free & (names == name)])
        member[free & (distance(colors, center) < CLUSTER_RADIUS)] = number
        if number == 0 and not (member == 0).any():
            member[free] = 0
    return member


def _merge(
    parts: list[np.ndarray], labels: np.ndarray, centers: np.ndarray, rims: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray, str | None]]:
    """Join colours that share a blob most of the time, or that take turns: one thing of several colours."""
    groups: list[tuple[np.ndarray, np.ndarray, str | None]] = []
    origin: list[int] = []
    for number, part in enumerate(parts):
        for index, (rgb, mask, doubt) in enumerate(groups):
            if _is_same_thing(mask, part, labels):
                mixed = doubt if rims[number, origin[index]] else "its colour is mixed or changes"
                groups[index] = (rgb, mask | part, mixed)
                break
        else:
            groups.append((centers[number], part, None))
            origin.append(number)
    return groups


def _is_rim(
    seen: np.ndarray, background: np.ndarray, centers: np.ndarray, cores: list[np.ndarray]
) -> np.ndarray:
    """Whether colour [i] is a mixture of colour [j] and what is behind it: a rim, or a faded part."""
    rims = np.zeros((len(cores), len(cores)), dtype=bool)
    for i, core in enumerate(cores):
        if not core.any():
            continue
        difference, behind = seen[core] - background[core], background[core]
        for j in range(len(cores)):
            toward = centers[j] - behind
            share = (difference * toward).sum(axis=1) / np.maximum((toward**2).sum(axis=1), 1)
            off = np.linalg.norm(difference - share[:, None] * toward, axis=1)
            rims[i, j] = i != j and np.median(off) < 30 and 0.15 < np.median(share) < 1.05
    return rims


def _is_same_thing(first: np.ndarray, second: np.ndarray, labels: np.ndarray) -> bool:
    here, there = first.any(axis=(1, 2)), second.any(axis=(1, 2))
    both = here & there
    if both.sum() <= 0.3 * min(here.sum(), there.sum()):
        return True
    touching = [
        bool(np.intersect1d(labels[f][first[f]], labels[f][second[f]]).size) for f in np.flatnonzero(both)
    ]
    return float(np.mean(touching)) > 0.7


def _tracks(part: np.ndarray, smallest: float) -> list[np.ndarray]:
    """Masks over time of each of the blobs of one colour; usually one."""
    labels, sizes, blobs = _blobs_of(part)
    frames: list[list[int]] = []
    for numbers in blobs:
        found = [k for k in numbers if sizes[k] >= smallest]
        largest = max((sizes[k] for k in found), default=0)
        frames.append(sorted((k for k in found if sizes[k] > 0.2 * largest), key=lambda k: -sizes[k]))
    number = int(np.median([len(found) for found in frames if found] or [0]))
    if number <= 1:
        keep = np.zeros(len(sizes), dtype=bool)
        keep[[found[0] for found in frames if found]] = True
        return [keep[labels]] if keep.any() else []
    return _linked(labels, frames, min(number, MAX_THINGS))


def _blobs_of(mask: np.ndarray) -> tuple[np.ndarray, list[int], list[list[int]]]:
    """Labels [f h w] of the blobs, the pixels of each label, and the labels of each frame, ascending."""
    labels = label_blobs(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    found = np.flatnonzero(sizes)  # labels rise from frame to frame
    ends = np.searchsorted(found, np.maximum.accumulate(labels.max(axis=(1, 2))), side="right").tolist()
    numbers = found.tolist()
    return labels, sizes.tolist(), [numbers[a:b] for a, b in pairwise([0, *ends])]


def _linked(labels: np.ndarray, frames: list[list[int]], number: int) -> list[np.ndarray]:
    """Follow several blobs of one colour by the nearest centre."""
    tracks = [np.zeros(labels.shape, dtype=bool) for _ in range(number)]
    last: list[np.ndarray] = []
    for index, found in enumerate(frames):
        centers = {k: np.argwhere(labels[index] == k).mean(axis=0) for k in found}
        if len(last) < number:
            last = [centers[k] for k in found[:number]]
        for track, place in enumerate(last):
            if centers:
                k = min(centers, key=lambda key: float(np.linalg.norm(centers[key] - place)))
                last[track] = centers.pop(k)
                tracks[track][index] = labels[index] == k
    return [track for track in tracks if track.any()]


def _segment(
    video: np.ndarray,
    background: np.ndarray,
    seen: np.ndarray,
    mask: np.ndarray,
    core: np.ndarray,
    others: np.ndarray,
    rgb: np.ndarray,
    doubt: str | None,
) -> Segment:
    present = np.flatnonzero(mask.any(axis=(1, 2)))
    near = grown(others, 1) & ~mask
    means = np.array([median_of(seen[f][core[f] if core[f].any() else mask[f]]) for f in present])
    if doubt is None:
        behind = np.array([background[f][mask[f]].mean(axis=0) for f in present])
        contrast = np.linalg.norm(means - behind, axis=1)
        rgb = np.median(means[contrast >= 0.85 * np.quantile(contrast, 0.8)], axis=0)
        opacity = _opacity(video, background, rgb)
        smooth_opacity = blurred(opacity)
        unexplained = blurred(video - background - opacity[..., None] * (rgb.astype(np.float32) - background))
        doubt = _fade_doubt(smooth_opacity, core, present) or _foreign_doubt(
            smooth_opacity, unexplained, grown(mask, 1) & ~near
        )
    if doubt is None:
        mask = _largest_blobs((grown(mask, 1) & ~near & (smooth_opacity > MIN_OPACITY)) | core)
        support = grown(mask, 2) & ~near | mask
        alpha = np.where(support, np.clip(opacity, -0.3, 1.3), 0)
    else:
        alpha = np.where(mask, 1.0, 0.0)
    name, margin, far = _nearest_color(rgb, means)
    light = np.full(len(video), np.nan)
    light[present] = means.mean(axis=1)
    color = None if doubt or far else name
    return Segment(alpha.astype(np.float32), mask, rgb, light, color, doubt or far, margin)


def _opacity(video: np.ndarray, background: np.ndarray, rgb: np.ndarray) -> np.ndarray:
    """Share [f h w] of the thing's colour in each pixel, the rest being background."""
    toward = rgb.astype(np.float32) - background
    squared = np.maximum(squared_length(toward), 1)
    return np.einsum("fhwc,fhwc->fhw", video - background, toward) / squared


def _largest_blobs(mask: np.ndarray) -> np.ndarray:
    """The largest blob of each frame."""
    labels, sizes, blobs = _blobs_of(mask)
    keep = np.zeros(len(sizes), dtype=bool)
    keep[[max(numbers, key=lambda k: sizes[k]) for numbers in blobs if numbers]] = True
    return keep[labels]


def _fade_doubt(opacity: np.ndarray, core: np.ndarray, present: np.ndarray) -> str | None:
    levels = np.array([quantile_of(opacity[f][core[f]], 0.75) if core[f].any() else 1.0 for f in present])
    if np.sum(levels < 0.8) >= max(1, 0.06 * len(levels)):
        return "it fades during the clip"
    inside = opacity[core]
    if np.mean((inside < 0.72) | (inside > 1.28)) > 0.1:  # H.264 reaches 0.07 on whole things
        return "a part of it is faded"
    return None


def _foreign_doubt(opacity: np.ndarray, unexplained: np.ndarray, support: np.ndarray) -> str | None:
    """Whether a part is faded or of another colour, also in a thing too narrow for that part to have a core.

    One pixel inside the pixels of ``MIN_FADED_OPACITY``, a thing is as good as opaque however its rim falls.

    Args:
        opacity: Blurred share of the thing's colour [f h w].
        unexplained: Blurred remainder [f h w 3] that no share of that colour explains, RGB differences.
        support: Pixels that may belong to the thing [f h w], bool.
    """
    inside = ~grown(~(support & (opacity > MIN_FADED_OPACITY)), 1)
    off = squared_length(unexplained[inside]) > MIN_DIFFERENCE**2
    foreign = off | (opacity[inside] < 0.72) | (opacity[inside] > 1.28)
    too_much = foreign.sum() > MAX_FOREIGN_SHARE * foreign.size
    return "a part of it is faded or of another colour" if too_much else None


def _nearest_color(rgb: np.ndarray, means: np.ndarray) -> tuple[str, float, str | None]:
    """Name, margin over the next name, and why it cannot be named."""
    distance = np.linalg.norm(PALETTE - rgb, axis=1)
    order = np.argsort(distance)
    margin = float(1 - distance[order[0]] / max(distance[order[1]], 1e-6))
    name = NAMES[order[0]]
    each = squared_distance(means[:, None], PALETTE).argmin(axis=1)
    if distance[order[0]] > 80 or margin < 0.25:
        return name, margin, f"its colour lies between {name} and {NAMES[order[1]]}"
    if np.mean(each == order[0]) < 0.75:
        return name, margin, "its colour changes"
    return name, margin, None

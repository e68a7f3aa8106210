"""Copies among all clips: the same bytes, or the same pictures re-encoded, scaled or slightly cropped.

Clips are taken from the best to the worst. Each is compared with those that were found to be no copies; if it
is one of them, that one is its original. So no chains form, and what is kept does not depend on the order in
which clips come. Comparison is in two steps, both over blocks of clips at once: a distance of the lowest
frequencies, which crops hardly change, then for the few pairs that are close the whole distance, at its
smallest over crops of either clip, which are linear in the coefficients.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rufous.data.clip import Clip
from rufous.data.stage import Gives
from rufous.data.stages.fingerprint import (
    COMPARED_CHROMA,
    COMPARED_LUMA,
    LUMA,
    Description,
    cosines,
    from_text,
    unpacked,
)

_COARSE_LUMA, _COARSE_CHROMA = 3, 2
"""Frequencies per axis of the first step."""
_COARSE_SLACK = 0.15
"""What a crop adds to the first step's distance, at most."""
_ROWS, _LEADERS = 512, 16384
"""Clips compared with each other at once; memory is their product."""
_PAIRS = 4096
"""Pairs of the second step at once."""


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """Marks copies, and drops them if wanted.

    Score ``duplicates``: 1 for a copy, 0 for an original or a clip alone. Score ``duplicates_distance``: of a
    copy from its original, as a share of the clip's contrast, 0 if exact. Tag ``duplicates``: ``exact``,
    ``near`` or ``none``. Info ``duplicates_of``: the original's source and start.
    The original is the clip of most pixels, then of the best ``technical`` score if that is known, then the
    first by place. Mirrored and shifted copies are not found.
    """

    name: ClassVar[str] = "duplicates"
    after: ClassVar[tuple[str, ...]] = ("probe", "fingerprint", "technical")
    version: ClassVar[int] = 1
    gives: ClassVar[Gives] = Gives(
        numbers=("duplicates", "duplicates_distance"),
        tags={"duplicates": ("exact", "near", "none")},
    )

    max_distance: float = 0.25
    """From which on two clips are different."""
    max_crop: float = 0.05
    """Share of the width and of the height that a copy may lack, at any side."""
    drop: bool = True
    """Whether copies are dropped, or only marked."""

    def __post_init__(self) -> None:
        if not (self.max_distance > 0 and 0 <= self.max_crop <= 0.2):
            raise ValueError(
                f"max_distance={self.max_distance} must be above 0, and max_crop={self.max_crop} in [0, 0.2]"
            )

    def process_all(self, clips: Sequence[Clip]) -> list[Clip]:
        """As many clips, in the same order; dropped ones, and those without fingerprint, as they are."""
        chosen = [i for i, clip in enumerate(clips) if clip.dropped is None and "fingerprint" in clip.tags]
        chosen.sort(key=lambda i: _preference(clips[i]))
        looks = from_text([clips[i].tags["fingerprint"] for i in chosen])
        ids = [clips[i].content_id for i in chosen]
        originals, distances = self.originals(looks, ids)
        marked = list(clips)
        for rank, i in enumerate(chosen):
            first, distance = clips[chosen[originals[rank]]], float(distances[rank])
            clip = clips[i].with_scores(duplicates=float(first is not clips[i]), duplicates_distance=distance)
            if first is clips[i]:
                marked[i] = clip.with_tags(duplicates="none")
                continue
            kind = "exact" if clip.content_id and clip.content_id == first.content_id else "near"
            clip = clip.with_tags(duplicates=kind)
            clip = clip.with_info(duplicates_of=f"{first.source} at {first.start_s:g} s")
            reason = (
                f"{'the same as' if kind == 'exact' else 'a copy of'} {first.source} at {first.start_s:g} s"
            )
            marked[i] = clip.drop(self.name, reason) if self.drop else clip
        return marked

    def originals(self, looks: np.ndarray, ids: Sequence[str] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """For each clip the number of its original, its own if it has none, and the distance to it.

        Args:
            looks: Fingerprints, int8 ``n f 150``, best clips first.
            ids: Of their content; equal ones that are not empty are copies whatever they look like.
        """
        originals, distances = np.arange(len(looks)), np.zeros(len(looks), dtype=np.float32)
        known: dict[str, int] = {}
        for i, name in enumerate(ids or ()):
            if name:
                originals[i] = known.setdefault(name, i)
        alone = np.flatnonzero(originals == np.arange(len(looks)))
        search = _Search(looks[alone], self.max_distance, self.max_crop)
        for copy, original, distance in search.copies():
            originals[alone[copy]], distances[alone[copy]] = alone[original], distance
        return originals[originals], distances


def _preference(clip: Clip) -> tuple[float, float, tuple[str, float, float]]:
    width, height = clip.info.get("width", 0), clip.info.get("height", 0)
    return -float(width) * float(height), -clip.scores.get("technical", 0.0), clip.place


class _Search:
    """Finds copies in a list of fingerprints; owns their coarse vectors."""

    def __init__(self, looks: np.ndarray, max_distance: float, max_crop: float) -> None:
        self._looks, self._max_distance = looks, max_distance
        parts = [_coarse(unpacked(looks[i : i + 8192])) for i in range(0, len(looks), 8192)]
        coarse = np.concatenate(parts) if parts else np.empty((0, 1), np.float32)
        half = np.square(coarse).sum(axis=1, keepdims=True) / 2
        # the product of a row of the one and a row of the other is minus half their squared distance
        self._left = np.concatenate([coarse, np.ones_like(half), -half], axis=1)
        self._right = np.concatenate([coarse, -half, np.ones_like(half)], axis=1)
        self._crops = _crops(max_crop)
        self._nearness = -((max_distance + (_COARSE_SLACK if max_crop else 0.0)) ** 2) / 2

    def copies(self) -> Iterator[tuple[int, int, float]]:
        """(copy, original, distance), copies ascending within each block."""
        leaders = list[int]()
        for first in range(0, len(self._looks), _ROWS):
            rows = np.arange(first, min(first + _ROWS, len(self._looks)))
            nearest, distances = self._nearest(rows, np.array(leaders, dtype=int))
            yield from zip(rows[nearest >= 0], nearest[nearest >= 0], distances[nearest >= 0], strict=True)
            free: list[int] = rows[nearest < 0].tolist()
            while free:
                leader, rest = free[0], np.array(free[1:], dtype=int)
                leaders.append(leader)
                found, distances = self._nearest(rest, np.array([leader]))
                yield from (
                    (copy, leader, d) for copy, f, d in zip(rest, found, distances, strict=True) if f >= 0
                )
                free = rest[found < 0].tolist()

    def _nearest(self, rows: np.ndarray, leaders: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For each row the nearest leader that is near enough, or -1, and the distance."""
        nearest, smallest = np.full(len(rows), -1), np.full(len(rows), self._max_distance, dtype=np.float32)
        for start in range(0, len(leaders), _LEADERS):
            some = leaders[start : start + _LEADERS]
            pairs = np.argwhere(self._left[rows] @ self._right[some].T > self._nearness)
            for batch in (pairs[i : i + _PAIRS] for i in range(0, len(pairs), _PAIRS)):
                far = self._verified(rows[batch[:, 0]], some[batch[:, 1]])
                for (row, leader), distance in zip(
                    batch[far < self._max_distance], far[far < self._max_distance], strict=True
                ):
                    if distance < smallest[row]:
                        nearest[row], smallest[row] = some[leader], distance
        return nearest, smallest

    def _verified(self, some: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Distances of pairs, each at its smallest over crops of either."""
        first, second = unpacked(self._looks[some]), unpacked(self._looks[others])
        means = np.square(first.means - second.means).sum(axis=(1, 2))
        best = np.full(len(some), np.inf, dtype=np.float32)
        for tall, wide in itertools.product(self._crops, repeat=2):
            for whole, part in ((first, second), (second, first)):
                luma = _between(whole.luma, part.luma, tall, wide, COMPARED_LUMA)
                chroma = _between(whole.chroma, part.chroma, tall, wide, COMPARED_CHROMA)
                best = np.minimum(best, luma + chroma)
        return np.sqrt(best + means)


def _between(
    whole: np.ndarray, part: np.ndarray, tall: np.ndarray, wide: np.ndarray, compared: int
) -> np.ndarray:
    """Squared distance of each crop of ``whole`` from ``part``, of the lower frequencies less the means."""
    size = whole.shape[-1]
    off = tall[:compared, :size] @ whole @ wide[:compared, :size].T - part[..., :compared, :compared]
    off[..., 0, 0] = 0.0
    return np.square(off).reshape(len(off), -1).sum(axis=1)


def _coarse(looks: Description) -> np.ndarray:
    parts = (
        looks.luma[..., :_COARSE_LUMA, :_COARSE_LUMA],
        looks.chroma[..., :_COARSE_CHROMA, :_COARSE_CHROMA],
        looks.means,
    )
    return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)


def _crops(share: float) -> list[np.ndarray]:
    """What crops along one axis do to its cosine coefficients: none; ``share`` and half of it off at the
    start, at the end, and in equal parts at both.

    The transform back to a finely sampled line, read at the crop's places, and transformed again.
    """
    num = 64
    basis = cosines(num)[:LUMA]
    places = (np.arange(num) + 0.5) / num
    crops = [np.eye(LUMA, dtype=np.float32)]
    for lost, begin in itertools.product((share / 2, share) if share else (), (0.0, 0.5, 1.0)):
        moved = begin * lost + (1 - lost) * places
        waves = np.cos(np.arange(LUMA)[:, None] * np.pi * moved) * np.sqrt(2 / num)
        waves[0] /= np.sqrt(2)
        crops.append((basis @ waves.T).astype(np.float32))
    return crops

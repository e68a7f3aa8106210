"""Buckets: which clips are trained on together, since all of a batch have one length and one size.

A clip goes through the resolutions from large to small, and in each through the lengths from long to short,
until one keeps it. Semantics of Open-Sora 1.2, with its flaws mended:

| | here | ``mode="published"`` |
|---|---|---|
| a clip of n frames fits n frames at stride 1 | yes | no: it must have n + 1 |
| at stride s, n frames need | (n - 1) * s + 1 | n * s + 1 |
| nearest aspect | by ratio: upright and landscape alike | by difference |
| sizes | multiples of ``multiple`` | the tables, most of them multiples of nothing |
| clips that no bucket keeps | counted, by reason | dropped in silence |

A clip is enlarged as far as ``min_pixels`` allows: with 0.8 of a resolution's pixels it may go there.

Source: opensora/datasets/bucket.py of hpcaitech/Open-Sora at v1.2.0; arXiv:2412.20404, section 3.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int

from rufous.core.randomness import generator_from
from rufous.data.aspect import ASPECTS, exact_sizes, num_pixels, published_nearest, published_sizes

PublishedRule: TypeAlias = tuple["float | tuple[float, float]", "int | None"]
"""``(keep, batch size)`` or ``((keep, reach), batch size)``."""


@dataclass(frozen=True, kw_only=True)
class BucketRule:
    """One length at one resolution, in all its aspects."""

    resolution: str
    """A name of ``aspect.NOMINAL_PIXELS``, or ``HxW``, which stands for its number of pixels."""
    num_frames: int
    """1 for images."""
    keep: float = 1.0
    """Share of the clips that come here which stay; the others go to the next lower resolution, not to a
    shorter length. 0 with a high ``num_frames`` sends long clips down."""
    reach: float | None = None
    """Share of the long enough clips that come here at all; the others are tried at the next shorter length.
    None for all of them."""
    batch_size: int | None = None
    """Examples of one process; needed if ``keep`` is above 0."""

    def __post_init__(self) -> None:
        num_pixels(self.resolution)
        if self.num_frames < 1:
            raise ValueError(f"num_frames={self.num_frames}: use 1 for images, or more")
        if not (0.0 <= self.keep <= 1.0 and 0.0 <= self.share_reached <= 1.0):
            raise ValueError(f"keep={self.keep}, reach={self.reach} must be shares, from 0 to 1")
        if self.batch_size is None and self.keep > 0.0:
            raise ValueError(f"{self.resolution} with {self.num_frames} frames keeps clips: give batch_size")
        if self.batch_size is not None and self.batch_size < 1:
            raise ValueError(f"batch_size={self.batch_size}: use 1 or more, or None where keep is 0")

    @property
    def share_reached(self) -> float:
        """``reach`` as a number."""
        return 1.0 if self.reach is None else self.reach


@dataclass(frozen=True, kw_only=True)
class BucketConfig:
    """All rules of a run; their order does not matter."""

    rules: tuple[BucketRule, ...]
    stride: int = 1
    """Frames of the file from one frame taken to the next; a clip must be long enough for it."""
    multiple: int = 16
    """Sides are multiples of this: what the autoencoder shrinks by, times the network's patch."""
    aspects: tuple[str, ...] = ASPECTS
    """Written ``H:W``: "9:16" is landscape."""
    min_pixels: float = 0.8
    """Share of a resolution's pixels that a clip must have."""
    stills: bool = False
    """Whether a video may come to a rule of one frame, of which it then shows one."""
    mode: Literal["exact", "published"] = "exact"
    """``published`` is Open-Sora 1.2 to the frame; it knows no stills, and sizes from its tables."""

    def __post_init__(self) -> None:
        if not self.rules:
            raise ValueError("there are no rules: give one or more")
        named = [(rule.resolution, rule.num_frames) for rule in self.rules]
        if twice := [each for each in named if named.count(each) > 1]:
            raise ValueError(f"two rules for {twice[0][0]} with {twice[0][1]} frames: give one")
        if min(self.stride, self.multiple) < 1 or not 0.0 < self.min_pixels <= 1.0 or not self.aspects:
            raise ValueError(
                f"stride={self.stride} and multiple={self.multiple} must be 1 or more, "
                f"min_pixels={self.min_pixels} above 0 and at most 1, and aspects some"
            )
        if self.mode == "published" and self.stills:
            raise ValueError("stills=True: Open-Sora has none; use mode='exact'")
        for rule in self.rules:
            self.sizes(rule.resolution)

    @staticmethod
    def from_published(
        table: Mapping[str, Mapping[int, PublishedRule]],
        *,
        stride: int = 1,
        mode: Literal["exact", "published"] = "exact",
    ) -> "BucketConfig":
        """A ``bucket_config`` as Open-Sora writes it: ``{"240p": {51: (0.4, 20), 102: ((0.4, 0.33), 10)}}``.

        Raises:
            ValueError: A value that is no rule.
        """
        rules: list[BucketRule] = []
        for resolution, lengths in table.items():
            for num_frames, (share, batch_size) in lengths.items():
                keep, reach = share if isinstance(share, tuple) else (share, None)
                rules.append(
                    BucketRule(
                        resolution=resolution,
                        num_frames=num_frames,
                        keep=keep,
                        reach=reach,
                        batch_size=batch_size,
                    )
                )
        return BucketConfig(rules=tuple(rules), stride=stride, mode=mode)

    @property
    def descending(self) -> Mapping[str, tuple[BucketRule, ...]]:
        """Rules by resolution, from many pixels to few, each from long to short."""
        named = dict.fromkeys(rule.resolution for rule in self.rules)
        return {
            resolution: tuple(
                sorted(
                    (rule for rule in self.rules if rule.resolution == resolution),
                    key=lambda rule: -rule.num_frames,
                )
            )
            for resolution in sorted(named, key=num_pixels, reverse=True)
        }

    def sizes(self, resolution: str) -> tuple[tuple[int, int], ...]:
        """Heights and widths of a resolution."""
        if self.mode == "published":
            return tuple(published_sizes(resolution).values())
        return exact_sizes(resolution, self.aspects, self.multiple)


@dataclass(frozen=True, order=True)
class Bucket:
    """What all examples of a batch have in common."""

    resolution: str
    num_frames: int
    height: int
    width: int
    batch_size: int
    """Examples of one process."""

    @property
    def name(self) -> str:
        """For example ``240p 51 x 240x432``: frames, height, width."""
        return f"{self.resolution} {self.num_frames} x {self.height}x{self.width}"


@dataclass(frozen=True)
class TokenCost:
    """What a batch costs, as the number of tokens that the network sees."""

    pixels_per_token: int = 16
    """Of one side: 8 of the autoencoder times a patch of 2."""
    frames_per_token: float = 1.0
    """Frames that share a latent one; 3.4 for Open-Sora's autoencoder."""

    def __call__(self, bucket: Bucket) -> float:
        """Tokens of one process's batch."""
        area = bucket.height * bucket.width / self.pixels_per_token**2
        return bucket.batch_size * area * max(1.0, bucket.num_frames / self.frames_per_token)


@dataclass(frozen=True)
class ClipShapes:
    """Length and size of every clip of a data set, by its number."""

    num_frames: Int[np.ndarray, " n"]
    height: Int[np.ndarray, " n"]
    width: Int[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.num_frames)

    @staticmethod
    def of(shapes: Sequence[tuple[int, int, int]]) -> "ClipShapes":
        """From ``(frames, height, width)`` of each.

        Raises:
            ValueError: A number below 1.
        """
        table = np.asarray(shapes, dtype=np.int64).reshape(-1, 3)
        if len(table) and table.min() < 1:
            wrong = int((table < 1).any(axis=1).argmax())
            raise ValueError(
                f"clip {wrong} has frames, height, width = {tuple(table[wrong].tolist())}; use 1 up"
            )
        return ClipShapes(*table.T)


TOO_FEW_PIXELS = "fewer pixels than the smallest resolution takes"
TOO_SHORT = "too short for every length"
NOT_KEPT = "kept by no rule this time"


@dataclass(frozen=True)
class Placement:
    """Which bucket each clip is in, for one epoch."""

    buckets: tuple[Bucket, ...]
    bucket_of: Int[np.ndarray, " n"]
    """Number of each clip's bucket, -1 for none."""
    left_out: Mapping[str, int]
    """Clips in no bucket, by reason."""

    @cached_property
    def counts(self) -> Mapping[Bucket, int]:
        """Clips of each bucket that has any."""
        found = np.bincount(self.bucket_of[self.bucket_of >= 0], minlength=len(self.buckets))
        return {bucket: int(count) for bucket, count in zip(self.buckets, found, strict=True) if count}

    def members(self) -> Iterator[tuple[Bucket, Int[np.ndarray, " m"]]]:
        """Each bucket that has any, with the numbers of its clips, ascending."""
        order = np.argsort(self.bucket_of, kind="stable")
        order = order[np.count_nonzero(self.bucket_of < 0) :]
        start = 0
        for bucket, count in self.counts.items():
            yield bucket, order[start : start + count]
            start += count


def place(shapes: ClipShapes, config: BucketConfig, *, seed: int, epoch: int) -> Placement:
    """The bucket of every clip; drawn anew each epoch, alike in every process.

    A million clips and three rules take half a second; ``mode="published"`` goes one by one.
    """
    if config.mode == "published":
        return _published_place(shapes, config, seed=seed, epoch=epoch)
    buckets: dict[Bucket, int] = {}
    bucket_of = np.full(len(shapes), -1, dtype=np.int64)
    pixels, is_long_enough = shapes.height * shapes.width, np.zeros(len(shapes), dtype=bool)
    is_large_enough = np.zeros(len(shapes), dtype=bool)
    for resolution, rules in config.descending.items():
        is_large = pixels >= config.min_pixels * num_pixels(resolution)
        is_large_enough |= is_large
        waiting = is_large & (bucket_of < 0)
        for rule in rules:
            draws = _draws(rule, len(shapes), seed, epoch)
            fits = _fits(shapes, rule, config)
            is_long_enough |= fits & is_large
            comes = waiting & fits & (draws[0] < rule.share_reached)
            waiting &= ~comes
            stays = np.flatnonzero(comes & (draws[1] < rule.keep))
            if len(stays):
                assert rule.batch_size is not None
                sizes = config.sizes(resolution)
                nearest = _nearest(shapes.height[stays] / shapes.width[stays], sizes)
                numbers = [
                    buckets.setdefault(
                        Bucket(resolution, rule.num_frames, *size, rule.batch_size), len(buckets)
                    )
                    for size in sizes
                ]
                bucket_of[stays] = np.asarray(numbers)[nearest]
    left_out = {
        TOO_FEW_PIXELS: ~is_large_enough,
        TOO_SHORT: is_large_enough & ~is_long_enough,
        NOT_KEPT: is_long_enough & (bucket_of < 0),
    }
    counted = {reason: int(which.sum()) for reason, which in left_out.items()}
    return Placement(tuple(buckets), bucket_of, {reason: count for reason, count in counted.items() if count})


def _fits(shapes: ClipShapes, rule: BucketRule, config: BucketConfig) -> np.ndarray:
    if rule.num_frames == 1 and not config.stills:
        return shapes.num_frames == 1
    return shapes.num_frames >= (rule.num_frames - 1) * config.stride + 1


def _draws(rule: BucketRule, count: int, seed: int, epoch: int) -> Float[np.ndarray, "2 n"]:
    """Two even draws in [0, 1) for each clip; none are made where they decide nothing."""
    if rule.keep in (0.0, 1.0) and rule.share_reached in (0.0, 1.0):
        return np.zeros((2, count))
    generator = generator_from(seed, "bucket", epoch, rule.resolution, rule.num_frames)
    return torch.rand(2, count, generator=generator, dtype=torch.float64).numpy()


def _nearest(aspects: Float[np.ndarray, " n"], sizes: Sequence[tuple[int, int]]) -> Int[np.ndarray, " n"]:
    """For each aspect the number of the size whose own is nearest by ratio."""
    logs = np.log([height / width for height, width in sizes])
    return np.abs(np.log(aspects)[:, None] - logs[None]).argmin(axis=1)


def published_bucket(
    num_frames: int, height: int, width: int, config: BucketConfig, *, seed: int
) -> Bucket | None:
    """Where Open-Sora 1.2 puts a clip, draw for draw; None if it drops it.

    Its sampler takes ``seed + epoch + row * number of buckets`` for the seed, every aspect counted.
    """
    number = -1
    for resolution, rules in config.descending.items():
        first = number + 1
        number += len(rules)
        if height * width < config.min_pixels * num_pixels(resolution):
            continue
        found = _published_rule(num_frames, rules, config.stride, seed + first)
        if found is not None:
            sizes = published_sizes(resolution)
            size = sizes[published_nearest(height, width, sizes)]
            assert found.batch_size is not None
            return Bucket(resolution, found.num_frames, *size, found.batch_size)
    return None


def _published_rule(
    num_frames: int, rules: Sequence[BucketRule], stride: int, seed: int
) -> BucketRule | None:
    """The rule of one resolution that keeps a clip; rule i draws from a stream of its own, ``seed + i``."""
    for offset, rule in enumerate(rules):
        rng = np.random.default_rng(seed + offset)
        if num_frames == 1:
            if rule.num_frames == 1 and rng.random() < rule.keep:
                return rule
            continue
        if rule.reach is not None and rng.random() > rule.reach:
            continue
        if num_frames > rule.num_frames * stride and rule.num_frames != 1:
            return rule if rule.keep >= 1.0 or rng.random() < rule.keep else None
    return None


def _published_place(shapes: ClipShapes, config: BucketConfig, *, seed: int, epoch: int) -> Placement:
    num_buckets = sum(len(rules) * len(config.sizes(name)) for name, rules in config.descending.items())
    buckets: dict[Bucket, int] = {}
    bucket_of = np.full(len(shapes), -1, dtype=np.int64)
    for row in range(len(shapes)):
        found = published_bucket(
            int(shapes.num_frames[row]),
            int(shapes.height[row]),
            int(shapes.width[row]),
            config,
            seed=seed + epoch + row * num_buckets,
        )
        if found is not None:
            bucket_of[row] = buckets.setdefault(found, len(buckets))
    lost = int(np.count_nonzero(bucket_of < 0))
    return Placement(tuple(buckets), bucket_of, {NOT_KEPT: lost} if lost else {})

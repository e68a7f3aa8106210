"""Two folders of clips compared as sets: FVD and its kin, with everything that moves the number beside it.

Each clip is decoded once, its features are kept in a cache (``feature_cache``), and a run that was stopped
goes on. A clip that cannot be read, is too short or too large, or gives a feature that is not finite is left
out and reported by name; the caller decides what an exit code says.

Shapes: n clips, d features.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from rufous.core.console import logger
from rufous.core.devices import require_memory
from rufous.core.files import sha256_of
from rufous.core.randomness import generator_from
from rufous.evaluation.dimensions.decoded_clip import check_size
from rufous.evaluation.feature_cache import FeatureCache
from rufous.evaluation.frechet import Moments, frechet_distance
from rufous.evaluation.measuring import CLIP_ERRORS, reason_of
from rufous.evaluation.mmd import jedi, polynomial_mmd
from rufous.evaluation.set_features import VideoFeatures, load_features
from rufous.evaluation.vbench.suite import VIDEO_SUFFIXES
from rufous.video.frames import strided_indices
from rufous.video.read import read_frames, timeline_of

_log = logger(__name__)

CUSTOMARY_CLIPS = 2048
MAX_WAITING_BYTES = 1 << 29
"""Of decoded clips that wait for a batch; large ones go through the network sooner."""
_COPIES = 9
"""Bytes for each byte of a clip while its pixels are prepared: itself, and two copies in float32."""


@dataclass(frozen=True, kw_only=True)
class SetSampling:
    """Which clips of a folder are read, and which frames of a clip."""

    num_frames: int = 16
    stride: int = 1
    """Of the frames that are read; motion looks that many times as fast."""
    start: Literal["first", "random"] = "first"
    """Random: drawn from the seed and the name of the file."""
    num_clips: int | None = None
    """Drawn at random from the seed; None takes all."""
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.num_frames, self.stride) < 1 or (self.num_clips is not None and self.num_clips < 2):
            raise ValueError(
                f"num_frames={self.num_frames}, stride={self.stride}, num_clips={self.num_clips}: "
                "use 1 or more, 1 or more, and 2 or more"
            )


@dataclass(frozen=True)
class FailedClip:
    """A clip that is not in its set."""

    file: str
    reason: str


@dataclass(frozen=True)
class FeatureSet:
    """Features of one folder, in the order of the file names."""

    files: tuple[str, ...]
    features: Float[Tensor, "n d"]
    failed: tuple[FailedClip, ...]


@dataclass(frozen=True, kw_only=True)
class SetComparison:
    """A figure and what it depends on; as JSON through ``to_json_dict``."""

    features: str
    figures: dict[str, float]
    """The figure by its name, the other distances of the same features, and ``halves_of_real``: that
    figure of two random halves of the real set, which measures bias."""
    num_real: int
    num_generated: int
    num_features: int
    ddof: int
    resize: str
    real_sampling: SetSampling
    generated_sampling: SetSampling
    weights: str
    status: str
    warnings: tuple[str, ...]
    failed: tuple[FailedClip, ...]


def compare_sets(
    real: Path | str,
    generated: Path | str,
    features: VideoFeatures | str = "i3d",
    *,
    sampling: SetSampling | None = None,
    real_sampling: SetSampling | None = None,
    ddof: int | None = None,
    batch_size: int = 8,
    cache_dir: Path | str | None = None,
    device: torch.device | str = "cpu",
    on_clip: Callable[[str], None] | None = None,
) -> SetComparison:
    """How far the clips of two folders are apart.

    Args:
        real: Folder of clips, searched with its sub-folders.
        generated: The same.
        features: A network of ``set_features``, or its name.
        sampling: Of both folders; None for the first 16 frames of every clip.
        real_sampling: Of the real folder, where it differs.
        ddof: What covariances lose; None for the figure's published form.
        batch_size: Clips through the network at once; it changes no feature but by rounding.
        cache_dir: Where features are kept; None keeps nothing.
        device: Where the network runs, if ``features`` is a name.
        on_clip: Called with the name of each clip when it is done.

    Raises:
        ValueError: A folder without clips, fewer than two clips that can be read, or frames that do not suit
            the network.
        CheckpointError: Weights are missing or do not fit.
    """
    network = load_features(features, device=device) if isinstance(features, str) else features
    sampled = sampling or SetSampling()
    sampled_real = real_sampling or sampled
    real_set, generated_set = (
        features_of(folder, network, own, batch_size=batch_size, cache_dir=cache_dir, on_clip=on_clip)
        for folder, own in ((real, sampled_real), (generated, sampled))
    )
    return compare_features(real_set, generated_set, network, ddof=ddof, samplings=(sampled_real, sampled))


def compare_features(
    real: FeatureSet,
    generated: FeatureSet,
    network: VideoFeatures,
    *,
    ddof: int | None = None,
    samplings: tuple[SetSampling, SetSampling] = (SetSampling(), SetSampling()),
) -> SetComparison:
    """The distances of two sets of features that one network read.

    Raises:
        ValueError: Fewer than two clips in a set.
    """
    used = network.ddof if ddof is None else ddof
    sides = (real.features, generated.features)
    moments = [Moments.none(side.shape[1]).with_batch(side) for side in sides]
    figures = {
        network.figure_name: 0.0,
        "frechet": frechet_distance(*moments, ddof=used),
        "mmd_biased_x100": jedi(*sides),
        "mmd_unbiased_x100": 100.0 * polynomial_mmd(*sides, is_biased=False),
    }
    figures[network.figure_name] = figures["frechet" if network.figure == "frechet" else "mmd_biased_x100"]
    if (halves := _halves(real.features, network, used)) is not None:
        figures["halves_of_real"] = halves
    return SetComparison(
        features=network.name,
        figures=figures,
        num_real=len(sides[0]),
        num_generated=len(sides[1]),
        num_features=sides[0].shape[1],
        ddof=used,
        resize=network.resize,
        real_sampling=samplings[0],
        generated_sampling=samplings[1],
        weights=network.weights,
        status=network.status,
        warnings=tuple(_warnings(real, generated, network, halves)),
        failed=(*real.failed, *generated.failed),
    )


def features_of(
    folder: Path | str,
    network: VideoFeatures,
    sampling: SetSampling,
    *,
    batch_size: int = 8,
    cache_dir: Path | str | None = None,
    on_clip: Callable[[str], None] | None = None,
) -> FeatureSet:
    """Features of the clips of a folder, each decoded once; those in the cache are not read again.

    Raises:
        ValueError: No clips, fewer than two that can be read, or frames that do not suit the network.
    """
    _check_frames(network, sampling)
    folder = Path(folder)
    cache = FeatureCache(cache_dir, _settings(network, sampling))
    reader = _Reader(network, cache, sampling, batch_size, on_clip or (lambda name: None))
    try:
        for path in chosen_clips(folder, sampling):
            reader.take(path, path.relative_to(folder).as_posix())
        reader.read_waiting()
    finally:
        cache.save()
    return reader.as_set(folder)


class _Reader:
    """Takes clips one by one, reads those that the cache has not in batches, and notes those that fail."""

    def __init__(
        self,
        network: VideoFeatures,
        cache: FeatureCache,
        sampling: SetSampling,
        batch_size: int,
        on_clip: Callable[[str], None],
    ) -> None:
        self._network, self._cache, self._sampling = network, cache, sampling
        self._batch_size, self._on_clip = batch_size, on_clip
        self._rows: dict[str, Tensor] = {}
        self._failed: list[FailedClip] = []
        self._waiting: list[tuple[str, str, Tensor]] = []
        """Name, key in the cache, and frames."""

    def take(self, path: Path, name: str) -> None:
        """Decode a clip, unless its features are known."""
        try:
            timeline = timeline_of(path)
            indices = clip_indices(name, len(timeline.index.pts), self._sampling)
            key = f"{sha256_of(path)}@{indices[0]}"
            known = self._cache.get(key)
            if known is None:
                needed = _COPIES * check_size(path, len(indices))
                require_memory(needed, torch.device("cpu"), what=f"{len(indices)} frames of {path.name}")
                self._waiting.append((name, key, read_frames(timeline, indices)[0]))
        except CLIP_ERRORS as error:
            self._fail(name, reason_of(error))
            return
        if known is not None:
            self._rows[name] = known
            self._on_clip(name)
        elif len(self._waiting) >= self._batch_size or self._waiting_bytes() >= MAX_WAITING_BYTES:
            self.read_waiting()

    def read_waiting(self) -> None:
        """One batch through the network."""
        batch, self._waiting = self._waiting, []
        if not batch:
            return
        for (name, key, _), row in zip(batch, self._features([frames for *_, frames in batch]), strict=True):
            if isinstance(row, str):
                self._fail(name, row)
            elif bool(torch.isfinite(row).all()):
                self._rows[name] = row
                self._cache.put({key: row})
                self._on_clip(name)
            else:
                self._fail(name, "a feature is NaN or infinite: the clip or the weights are damaged")

    def _features(self, clips: Sequence[Tensor]) -> Sequence[Tensor | str]:
        """Features of each clip, or why it has none; a batch that fails is read clip by clip."""
        try:
            return list(self._network.read(clips))
        except CLIP_ERRORS as error:
            reason = reason_of(error)
        return [reason] if len(clips) == 1 else [self._features([clip])[0] for clip in clips]

    def _waiting_bytes(self) -> int:
        return sum(frames.nbytes for *_, frames in self._waiting)

    def as_set(self, folder: Path) -> FeatureSet:
        """What was read, in the order of the names."""
        names = sorted(self._rows)
        failed = tuple(sorted(self._failed, key=lambda each: each.file))
        if len(names) < 2:
            reasons = "; ".join(f"{each.file}: {each.reason}" for each in failed[:3])
            raise ValueError(
                f"{folder}: {len(names)} of {len(names) + len(failed)} clips can be used, two are the least. "
                f"{reasons}"
            )
        return FeatureSet(tuple(names), torch.stack([self._rows[name] for name in names]), failed)

    def _fail(self, name: str, reason: str) -> None:
        _log.warning("%s is left out: %s", name, reason)
        self._failed.append(FailedClip(name, reason))
        self._on_clip(name)


def chosen_clips(folder: Path, sampling: SetSampling) -> list[Path]:
    """The clips of a folder and its sub-folders in the order of their names, or those of them that are drawn.

    Raises:
        ValueError: No such folder, no clips, or fewer than are asked for.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder: name one with clips ({', '.join(VIDEO_SUFFIXES)})")
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file() and not path.name.startswith(".")
    )
    if not found:
        raise ValueError(f"{folder} holds no clips: it needs {', '.join(VIDEO_SUFFIXES)}")
    if sampling.num_clips is None:
        return found
    if sampling.num_clips > len(found):
        raise ValueError(f"num_clips={sampling.num_clips} is more than the {len(found)} clips of {folder}")
    order = np.random.default_rng(sampling.seed).permutation(len(found))
    return sorted(found[i] for i in order[: sampling.num_clips])


def _check_frames(network: VideoFeatures, sampling: SetSampling) -> None:
    fewest, given = network.num_frames, sampling.num_frames
    if given < fewest or (given > fewest and not network.takes_more_frames):
        or_more = " or more" if network.takes_more_frames else ""
        raise ValueError(f"num_frames={given} does not suit {network.name}: it reads {fewest}{or_more}")


def _settings(network: VideoFeatures, sampling: SetSampling) -> dict[str, object]:
    return {
        "features": network.name,
        "weights": network.weights,
        "resize": network.resize,
        "num_frames": sampling.num_frames,
        "stride": sampling.stride,
    }


def clip_indices(name: str, available: int, sampling: SetSampling) -> list[int]:
    """The frames of one clip; where they begin depends on the seed and the name alone."""
    span = (sampling.num_frames - 1) * sampling.stride + 1
    start = 0
    if sampling.start == "random" and available > span:
        generator = generator_from(sampling.seed, "first frame", name)
        start = int(torch.randint(available - span + 1, (1,), generator=generator))
    return strided_indices(available, sampling.num_frames, stride=sampling.stride, start=start)


def _halves(features: Tensor, network: VideoFeatures, ddof: int) -> float | None:
    """The figure of two random halves of one set: what it would be without any difference."""
    half = len(features) // 2
    if half < 2:
        return None
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(features)))
    one, two = features[order[:half]], features[order[half : 2 * half]]
    return frechet_distance(one, two, ddof=ddof) if network.figure == "frechet" else jedi(one, two)


def _warnings(
    real: FeatureSet, generated: FeatureSet, network: VideoFeatures, halves: float | None
) -> Iterator[str]:
    counts, width = (len(real.files), len(generated.files)), real.features.shape[1]
    floor = (
        ""
        if halves is None
        else f" Two halves of the real set, {counts[0] // 2} clips each, are {halves:.4g} apart"
        ": so much is bias, no difference."
    )
    if network.figure == "jedi":
        if min(counts) < CUSTOMARY_CLIPS:
            yield (
                f"{counts[0]} and {counts[1]} clips: the biased MMD is the larger the fewer there are.{floor}"
            )
    elif min(counts) <= width:
        yield (
            f"{counts[0]} and {counts[1]} clips are too few for {width} features: covariances need more than "
            f"{width} clips, and the Frechet distance is far too large.{floor}"
        )
    elif min(counts) < CUSTOMARY_CLIPS:
        yield (
            f"{counts[0]} and {counts[1]} clips: published figures use {CUSTOMARY_CLIPS}, and the Frechet "
            f"distance is the larger the fewer there are.{floor}"
        )
    if counts[0] != counts[1]:
        yield f"{counts[0]} and {counts[1]} clips: compare figures of equal numbers of clips alone"
    if real.failed or generated.failed:
        yield f"{len(real.failed)} real and {len(generated.failed)} generated clips are left out: see failed"

"""Batches whose clips are cut to a length of their own, so that a network learns every length of a range."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from rufous.core.errors import CheckpointError
from rufous.core.randomness import generator_from
from rufous.distillation.denoising import LatentBatch
from rufous.training.batches import BatchSource


class VaryingLengths:
    """Batches of another source, each cut to a run of frames that is drawn for it.

    Length and first frame depend on the seed and the batch's number alone: all ranks cut alike, and a resumed
    run goes on with the same cuts. Owns the number; the source owns its position.
    """

    def __init__(self, source: BatchSource[LatentBatch], *, shortest: int, seed: int) -> None:
        """Stand before the first batch.

        Args:
            source: Batches of whole clips, one latent frame for each frame.
            shortest: Frames that are left at least; each length from there to the whole is as likely.
            seed: Chooses the cuts.

        Raises:
            ValueError: ``shortest`` is below 1.
        """
        if shortest < 1:
            raise ValueError(f"shortest={shortest} leaves no frame: use 1 or more")
        self._source, self._shortest, self._seed = source, shortest, seed
        self._number = 0

    def take(self, n: int) -> Sequence[LatentBatch]:
        """The next ``n`` batches.

        Raises:
            ValueError: A clip is shorter than ``shortest``.
        """
        taken = self._source.take(n)
        cuts = [self._cut(batch, self._number + offset) for offset, batch in enumerate(taken)]
        self._number += n
        return cuts

    def state_dict(self) -> dict[str, Any]:
        """The number of the next batch, what fixes its cut, and the source's position."""
        return {
            "number": self._number,
            "shortest": self._shortest,
            "cuts_seed": self._seed,
            "source": self._source.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to a saved position.

        Raises:
            CheckpointError: The saved batches were cut otherwise.
        """
        for name, now in (("shortest", self._shortest), ("cuts_seed", self._seed)):
            if state.get(name) != now:
                raise CheckpointError(
                    f"the data is not what the run began with: {name} was {state.get(name)} and is {now}"
                )
        self._source.load_state_dict(state["source"])
        self._number = int(state["number"])

    def _cut(self, batch: LatentBatch, number: int) -> LatentBatch:
        longest = batch.latents.shape[2]
        if self._shortest > longest:
            raise ValueError(f"shortest={self._shortest}: the clips have {longest} frames")
        draws = generator_from(self._seed, "length", number)
        length = int(torch.randint(self._shortest, longest + 1, (), generator=draws))
        start = int(torch.randint(longest - length + 1, (), generator=draws))
        return _frames_of(batch, slice(start, start + length))


def _frames_of(batch: LatentBatch, frames: slice) -> LatentBatch:
    """Some frames as a whole clip of their own; what counts frames begins at 0 again."""
    cond, count = batch.cond, len(range(*frames.indices(batch.latents.shape[2])))
    indices, clip_frames = cond.frame_indices, cond.clip_frames
    images, mask = cond.image_latents, cond.frame_mask
    return replace(
        batch,
        latents=batch.latents[:, :, frames],
        cond=replace(
            cond,
            frame_indices=None if indices is None else indices[:, frames] - indices[:, frames][:, :1],
            clip_frames=None if clip_frames is None else torch.full_like(clip_frames, count),
            image_latents=None if images is None else images[:, :, frames],
            frame_mask=None if mask is None else mask[:, frames],
        ),
    )


def varied(
    sources: Sequence[BatchSource[LatentBatch]], shortest: Sequence[int | None], *, seed: int
) -> list[BatchSource[LatentBatch]]:
    """Each source, cut to lengths from its shortest one on; as it is where that is None."""
    return [
        source if least is None else VaryingLengths(source, shortest=least, seed=seed)
        for source, least in zip(sources, shortest, strict=True)
    ]

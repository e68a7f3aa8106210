"""The order of a bucketed training: which clips of which bucket make each micro-batch of each process.

Micro-batches come in groups of one a process, so that nobody waits: all of a group are of one bucket
(``balance="same"``), or of buckets of like cost (``balance="cost"``), which leaves fewer clips out. Open-Sora
1.2 gives every process another bucket and trains no step at all where micro-batches are fewer than processes;
that is an error here.

The order depends on the seed and the epoch alone. A position is the epoch and the number of micro-batches
that all processes have taken of it, so it can be resumed exactly, and also by fewer processes, if they can
share a group evenly.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Int

from rufous.core.config import to_json_dict
from rufous.core.console import logger
from rufous.core.errors import CheckpointError
from rufous.core.randomness import generator_from
from rufous.data.buckets import Bucket, BucketConfig, ClipShapes, Placement, TokenCost, place

UNFILLED = "more than fill the batches of their bucket"
_log = logger(__name__)


@dataclass(frozen=True, kw_only=True)
class SamplerConfig:
    """How the clips of a placement become batches."""

    balance: Literal["same", "cost"] = "same"
    """What the micro-batches of a group have in common: the bucket, or about its cost."""
    remainder: Literal["drop", "repeat"] = "drop"
    """Clips that fill no batch of a bucket sit out the epoch, or others of the bucket are shown twice."""
    group: int | None = None
    """Micro-batches side by side; None for the number of processes. A multiple of it lets a run go on with
    more processes later."""
    redraws: int | None = None
    """Epochs after which the placements repeat, for clips that were encoded so often; None draws for ever."""
    buffer: int | None = None
    """Shuffle within so many neighbours only, and runs of neighbours, so that reading stays in few shards;
    None shuffles all clips of a bucket."""

    def __post_init__(self) -> None:
        for name in ("group", "redraws", "buffer"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name}={value}: use 1 or more, or None")


@dataclass(frozen=True)
class MicroBatch:
    """The clips of one process's share of a step."""

    bucket: Bucket
    epoch: int
    indices: tuple[int, ...]
    others: tuple[int, ...]
    """Clips of the bucket that may stand in for unreadable ones, in order; the batch's own come last."""


@dataclass(frozen=True)
class EpochPlan:
    """All micro-batches of one epoch, in the order in which they are trained on."""

    epoch: int
    """For drawing places, crops and captions: counted from 0 again after ``redraws``."""
    order: Mapping[Bucket, Int[np.ndarray, " m"]]
    """All clips of each bucket, shuffled; batch i takes the i-th run of ``batch_size`` of them."""
    batches: tuple[tuple[Bucket, int], ...]
    left_out: Mapping[str, int]
    """Clips that are in no batch, by reason."""

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> MicroBatch:
        bucket, number = self.batches[index]
        clips, start = self.order[bucket], number * bucket.batch_size
        stop = start + bucket.batch_size
        near = clips[stop : stop + MAX_STAND_INS], clips[:start][:MAX_STAND_INS], clips[start:stop]
        others = np.concatenate(near)
        return MicroBatch(bucket, self.epoch, tuple(clips[start:stop].tolist()), tuple(others.tolist()))


MAX_STAND_INS = 100
"""Clips in a row that may be unreadable before the set itself must be wrong."""


class BucketSampler:
    """Walks through the epochs of a bucketed set as one of several processes. Owns its position."""

    def __init__(
        self,
        shapes: ClipShapes,
        buckets: BucketConfig,
        config: SamplerConfig | None = None,
        *,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        cost: Callable[[Bucket], float] | None = None,
    ) -> None:
        """Stand before the first epoch.

        Args:
            shapes: Length and size of each clip.
            buckets: Where clips go.
            config: The defaults when None.
            seed: Chooses places and order.
            rank: This process among ``world_size``.
            world_size: Number of processes.
            cost: Of one micro-batch of a bucket, for ``balance="cost"``; tokens when None.

        Raises:
            ValueError: The first epoch has fewer micro-batches than a group; the rank is none; or the
                processes cannot share a group evenly.
        """
        if not 0 <= rank < world_size:
            raise ValueError(f"rank={rank} is not one of world_size={world_size} ranks")
        self._shapes, self._buckets, self._config = shapes, buckets, config or SamplerConfig()
        self._seed, self._rank, self._world_size = seed, rank, world_size
        self._cost = cost or TokenCost()
        self._group = self._config.group or world_size
        _check_group(self._group, world_size)
        self._epoch, self._position = 0, 0
        self._plan_of = lru_cache(maxsize=2)(self._make_plan)  # reading ahead may be in the next epoch
        self._plan_of(0)

    def __len__(self) -> int:
        """Micro-batches of one process in the present epoch."""
        return len(self.plan(self._epoch)) // self._world_size

    @property
    def epoch(self) -> int:
        """The epoch of the next micro-batch."""
        return self._epoch

    def plan(self, epoch: int) -> EpochPlan:
        """The micro-batches of all processes in an epoch.

        Raises:
            ValueError: They are fewer than a group.
        """
        return self._plan_of(epoch)

    def next_batches(self, n: int, *, ahead: int = 0) -> list[MicroBatch]:
        """``n`` micro-batches of this process, ``ahead`` of them after the next; the position stays."""
        epoch, position = self._epoch, self._position + ahead * self._world_size
        found: list[MicroBatch] = []
        for _ in range(n):
            while position >= len(self.plan(epoch)):
                position -= len(self.plan(epoch))
                epoch += 1
            found.append(self.plan(epoch)[position + self._rank])
            position += self._world_size
        return found

    def advance(self, n: int) -> None:
        """Go past ``n`` micro-batches of this process."""
        self._position += n * self._world_size
        while self._position >= len(self.plan(self._epoch)):
            self._position -= len(self.plan(self._epoch))
            self._epoch += 1

    def state_dict(self) -> dict[str, Any]:
        """The position, and what fixes the order."""
        return {"epoch": self._epoch, "position": self._position, "group": self._group, **self._order()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to a saved position.

        Raises:
            CheckpointError: The clips, buckets, settings or seed are others, or the processes cannot share
                the groups of the run.
        """
        changed = [name for name, value in self._order().items() if state[name] != value]
        if changed:
            raise CheckpointError(
                f"the data is not what the run began with: {', '.join(changed)} differ; "
                "use the old ones, or a new run_dir"
            )
        group, position = int(state["group"]), int(state["position"])
        if group % self._world_size or position % self._world_size:
            raise CheckpointError(
                f"the run takes {group} micro-batches side by side and stands at number {position}: "
                f"{self._world_size} processes cannot share that evenly; use as many as before, or fewer "
                "that divide it"
            )
        if group != self._group:
            self._group = group
            self._plan_of.cache_clear()
        self._epoch, self._position = int(state["epoch"]), position

    def _order(self) -> dict[str, Any]:
        settings = to_json_dict(self._config) | {"group": None}
        told = json.dumps([to_json_dict(self._buckets), settings], sort_keys=True)
        shapes = np.stack([self._shapes.num_frames, self._shapes.height, self._shapes.width])
        return {
            "seed": self._seed,
            "num_clips": len(self._shapes),
            "shapes": hashlib.sha256(shapes.astype("<i8").tobytes()).hexdigest()[:16],
            "buckets": hashlib.sha256(told.encode()).hexdigest()[:16],
        }

    def _make_plan(self, epoch: int) -> EpochPlan:
        config = self._config
        drawn = epoch if config.redraws is None else epoch % config.redraws
        placement = place(self._shapes, self._buckets, seed=self._seed, epoch=drawn)
        order = {
            bucket: members[self._shuffled(len(members), "clips", epoch, bucket.name)]
            for bucket, members in placement.members()
        }
        unit = self._group if config.balance == "same" else 1
        if config.remainder == "repeat":
            order = {bucket: _repeated(clips, bucket.batch_size * unit) for bucket, clips in order.items()}
        groups = self._groups(order, unit, epoch)
        if not groups:
            raise ValueError(self._nothing(placement, order))
        shuffled = torch.randperm(len(groups), generator=generator_from(self._seed, "groups", epoch))
        batches = tuple(batch for number in shuffled.tolist() for batch in groups[number])
        trained = {bucket: 0 for bucket in order}
        for bucket, _ in batches:
            trained[bucket] += bucket.batch_size
        lost = sum(max(0, len(clips) - trained[bucket]) for bucket, clips in order.items())
        left_out = {**placement.left_out, **({UNFILLED: lost} if lost else {})}
        if self._rank == 0:
            _log.info(
                "epoch %d: %d micro-batches of %d buckets; left out: %s",
                epoch,
                len(batches),
                len({bucket for bucket, _ in batches}),
                ", ".join(f"{count} ({why})" for why, count in left_out.items()) or "nothing",
            )
        return EpochPlan(drawn, order, batches, left_out)

    def _shuffled(self, count: int, *names: str | int) -> np.ndarray:
        generator = generator_from(self._seed, *names)
        if self._config.buffer is None:
            return torch.randperm(count, generator=generator).numpy()
        return buffered_order(count, self._config.buffer, generator)

    def _groups(
        self, order: Mapping[Bucket, np.ndarray], unit: int, epoch: int
    ) -> list[list[tuple[Bucket, int]]]:
        """Micro-batches in groups that stand side by side; of each bucket a multiple of ``unit``."""
        batches = [
            (bucket, number)
            for bucket, clips in order.items()
            for number in range(len(clips) // (bucket.batch_size * unit) * unit)
        ]
        if self._config.balance == "cost":
            shuffled = torch.randperm(len(batches), generator=generator_from(self._seed, "batches", epoch))
            kept = shuffled[: len(batches) - len(batches) % self._group].tolist()
            batches = sorted((batches[i] for i in kept), key=lambda batch: self._cost(batch[0]))
        return [batches[start : start + self._group] for start in range(0, len(batches), self._group)]

    def _nothing(self, placement: Placement, order: Mapping[Bucket, np.ndarray]) -> str:
        found = [
            f"{bucket.name}: {len(clips)} clips for batches of {bucket.batch_size}"
            for bucket, clips in order.items()
        ]
        found += [f"none: {count} clips ({why})" for why, count in placement.left_out.items()]
        return (
            f"{len(self._shapes)} clips fill no batch for each of {self._group} processes "
            f"({'; '.join(found) or 'no clips'}): use smaller batches, fewer buckets or aspects, "
            'remainder="repeat", or more clips'
        )


def _repeated(clips: np.ndarray, unit: int) -> np.ndarray:
    """The clips, and some of them again until they fill whole units."""
    return np.resize(clips, -(-len(clips) // unit) * unit)


def buffered_order(count: int, buffer: int, generator: torch.Generator) -> Int[np.ndarray, " n"]:
    """A permutation that a reader with a shuffle buffer would give: runs of ``buffer`` neighbours come in
    random order, and each place is drawn from a buffer of as many.

    Anything waits in the buffer until it is drawn, so at any time about two runs are being read.
    """
    starts = range(0, count, buffer)
    runs = torch.randperm(len(starts), generator=generator).tolist()
    stream = np.concatenate(
        [np.arange(starts[run], min(starts[run] + buffer, count)) for run in runs] or [np.arange(0)]
    )
    draws = torch.rand(count, generator=generator, dtype=torch.float64).numpy()
    held, order = stream[:buffer].copy(), np.empty(count, dtype=np.int64)
    size = len(held)
    for place_, draw in enumerate(draws):
        slot = int(draw * size)
        order[place_] = held[slot]
        if place_ + buffer < count:
            held[slot] = stream[place_ + buffer]
        else:
            size -= 1
            held[slot] = held[size]
    return order


def _check_group(group: int, world_size: int) -> None:
    if group % world_size:
        raise ValueError(f"group={group} cannot be shared by {world_size} processes: use a multiple of it")

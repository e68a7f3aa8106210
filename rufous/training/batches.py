"""Where batches come from: a source with an exact position, shuffled data, and several sources in turn."""

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import torch

from rufous.core.errors import CheckpointError
from rufous.core.randomness import generator_from
from rufous.training.objective import Batch

BatchMade = TypeVar("BatchMade", covariant=True)
Example = TypeVar("Example")
ExampleRead = TypeVar("ExampleRead", covariant=True)


@runtime_checkable
class BatchSource(Protocol[BatchMade]):
    """An endless supply of micro-batches whose position can be saved."""

    def take(self, n: int) -> Sequence[BatchMade]:
        """The next ``n`` micro-batches."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """The position: which micro-batch comes next. JSON values only."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to a saved position."""
        ...


@runtime_checkable
class Indexable(Protocol[ExampleRead]):
    """A data set: a length and examples by index."""

    def __len__(self) -> int:
        """Number of examples."""
        ...

    def __getitem__(self, index: int, /) -> ExampleRead:
        """One example."""
        ...


class ShuffledBatches(Generic[Example, Batch]):
    """Batches of a data set in a new random order each epoch, cut evenly over the ranks.

    The order depends on the seed and the epoch alone, so the position is one number and resuming is exact,
    with or without prefetch. Examples that do not fill the last batch of all ranks sit out that epoch.
    Owns the position and, with ``prefetch`` above 0, one thread that reads ahead.
    """

    def __init__(
        self,
        dataset: Indexable[Example],
        collate: Callable[[list[Example]], Batch],
        *,
        batch_size: int,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        prefetch: int = 0,
    ) -> None:
        """Stand before the first batch.

        Args:
            dataset: Its examples must not depend on the order of calls; the prefetch thread reads it.
            collate: Joins examples into a batch and puts it on the device of training.
            batch_size: Examples in one micro-batch on one rank.
            seed: Chooses the order.
            rank: This process among ``world_size``.
            world_size: Number of processes that share each step.
            prefetch: Batches to read ahead in a thread; 0 reads when asked.

        Raises:
            ValueError: The data set cannot fill one batch on every rank, or the rank is not among the ranks.
        """
        if not 0 <= rank < world_size:
            raise ValueError(f"rank={rank} is not one of world_size={world_size} ranks")
        if batch_size < 1 or len(dataset) < batch_size * world_size:
            raise ValueError(
                f"batch_size={batch_size} on {world_size} ranks does not fit {len(dataset)} examples: "
                f"use 1 to {len(dataset) // world_size}"
            )
        self._dataset = dataset
        self._collate = collate
        self._batch_size = batch_size
        self._seed = seed
        self._rank = rank
        self._world_size = world_size
        self._prefetch = prefetch
        self._position = 0
        self._source: Iterator[Batch] | None = None

    @property
    def batches_per_epoch(self) -> int:
        """Micro-batches of one rank in one pass over the data."""
        return len(self._dataset) // (self._batch_size * self._world_size)

    def take(self, n: int) -> list[Batch]:
        """The next ``n`` micro-batches of this rank; epochs follow each other without end.

        Raises:
            Exception: Whatever reading the data raises, also when it was read ahead; the position stays.
        """
        if self._source is None:
            batches = self._batches_from(self._position)
            self._source = _ReadAhead(batches, self._prefetch) if self._prefetch else batches
        try:
            taken = [next(self._source) for _ in range(n)]
        except BaseException:
            self.close()  # a failed iterator cannot go on; the next take begins again at this position
            raise
        self._position += n
        return taken

    def state_dict(self) -> dict[str, Any]:
        """Batches handed out so far (read-ahead ones not counted), and what fixes their order."""
        return {"position": self._position, **self._order()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to a saved position.

        Another number of ranks goes on at the same example if together they take as many as before.

        Raises:
            CheckpointError: The data set or seed is not the saved one, or batch_size * world_size is not.
        """
        saved, order = ({**each, "batch_size": _all_ranks(each)} for each in (state, self._order()))
        for name in ("num_examples", "batch_size", "seed"):
            if saved[name] != order[name]:
                raise CheckpointError(
                    f"the data is not what the run began with: {name}"
                    f"{' over all ranks' if name == 'batch_size' else ''} "
                    f"was {saved[name]} and is {order[name]}"
                )
        self.close()
        self._position = int(state["position"])

    def close(self) -> None:
        """Stop reading ahead; the next ``take`` starts again at the right place."""
        if isinstance(self._source, _ReadAhead):
            self._source.close()
        self._source = None

    def _order(self) -> dict[str, int]:
        return {
            "num_examples": len(self._dataset),
            "batch_size": self._batch_size,
            "world_size": self._world_size,
            "seed": self._seed,
        }

    def _batches_from(self, position: int) -> Iterator[Batch]:
        epoch, first = divmod(position, self.batches_per_epoch)
        while True:
            order = torch.randperm(len(self._dataset), generator=generator_from(self._seed, "epoch", epoch))
            for batch in range(first, self.batches_per_epoch):
                start = (batch * self._world_size + self._rank) * self._batch_size
                indices = order[start : start + self._batch_size].tolist()
                yield self._collate([self._dataset[index] for index in indices])
            epoch, first = epoch + 1, 0


class InterleavedBatches(Generic[Batch]):
    """Micro-batches of several sources in turn; with as many accumulated, a step has one of each.

    Owns the turn; the sources own their positions.
    """

    def __init__(self, sources: Sequence[BatchSource[Batch]]) -> None:
        """Begin with the first.

        Raises:
            ValueError: There is none.
        """
        if not sources:
            raise ValueError("there is no source of batches: pass one or more")
        self._sources = tuple(sources)
        self._turn = 0

    def take(self, n: int) -> list[Batch]:
        """The next ``n`` micro-batches."""
        taken: list[Batch] = []
        for offset in range(n):
            taken += self._sources[(self._turn + offset) % len(self._sources)].take(1)
        self._turn = (self._turn + n) % len(self._sources)
        return taken

    def state_dict(self) -> dict[str, Any]:
        """The turn and each source's position."""
        return {"turn": self._turn, "sources": [source.state_dict() for source in self._sources]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to a saved position.

        Raises:
            CheckpointError: It has another number of sources.
        """
        if len(state["sources"]) != len(self._sources):
            raise CheckpointError(
                f"the data is not what the run began with: {len(state['sources'])} sources of batches, "
                f"and now {len(self._sources)}"
            )
        for source, saved in zip(self._sources, state["sources"], strict=True):
            source.load_state_dict(saved)
        self._turn = int(state["turn"])


def _all_ranks(order: Mapping[str, int]) -> int:
    return order["batch_size"] * order["world_size"]


class _ReadAhead(Iterator[Batch]):
    """An iterator run in a daemon thread, at most ``depth`` items ahead."""

    def __init__(self, items: Iterator[Batch], depth: int) -> None:
        self._items = items
        self._ready: queue.Queue[tuple[Batch | None, BaseException | None]] = queue.Queue(depth)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rufous-read-ahead", daemon=True)
        self._thread.start()

    def __next__(self) -> Batch:
        item, error = self._ready.get()
        if error is not None:
            raise error
        assert item is not None
        return item

    def close(self) -> None:
        self._closed.set()
        while self._thread.is_alive():  # a full queue would hold the thread in put()
            while not self._ready.empty():
                self._ready.get_nowait()
            self._thread.join(timeout=0.01)

    def _run(self) -> None:
        try:
            for item in self._items:
                self._ready.put((item, None))
                if self._closed.is_set():
                    return
        except BaseException as error:  # handed to the thread that asks for the next batch
            self._ready.put((None, error))

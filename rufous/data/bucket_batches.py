"""Batches of a bucketed set for the training loop, read ahead by threads; the position stays exact."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from rufous.core.console import logger
from rufous.data.bucket_sampler import BucketSampler, MicroBatch
from rufous.data.buckets import Bucket
from rufous.training.objective import Batch

ExampleRead = TypeVar("ExampleRead", covariant=True)
Example = TypeVar("Example")
_log = logger(__name__)


@runtime_checkable
class BucketedSet(Protocol[ExampleRead]):
    """A data set whose examples can be had at the size of any bucket."""

    def example(self, index: int, bucket: Bucket, epoch: int) -> ExampleRead:
        """Clip ``index``, cut for a bucket; depends on the arguments alone, and may be called by any thread.

        Raises:
            ValueError: It cannot be read or does not fit; another clip of the bucket stands in for it.
            OSError: Likewise.
        """
        ...


class BucketBatches(Generic[Example, Batch]):
    """Micro-batches in a sampler's order, for ever. Owns the threads; the sampler owns the position."""

    def __init__(
        self,
        dataset: BucketedSet[Example],
        collate: Callable[[list[Example]], Batch],
        sampler: BucketSampler,
        *,
        prefetch: int = 0,
        num_threads: int = 1,
    ) -> None:
        """Read nothing yet.

        Args:
            dataset: Where examples come from.
            collate: Joins examples of one bucket into a batch; called by whoever takes it, not by a thread,
                so that networks in it do not run beside the one that is trained.
            sampler: The order; this object alone moves it.
            prefetch: Batches to read ahead; 0 reads when asked.
            num_threads: Threads that read, each a batch of its own.

        Raises:
            ValueError: Fewer than no batches ahead, or no threads.
        """
        if prefetch < 0 or num_threads < 1:
            raise ValueError(f"prefetch={prefetch}, num_threads={num_threads} must be at least 0 and 1")
        self._dataset, self._collate, self._sampler = dataset, collate, sampler
        self._prefetch, self._num_threads = prefetch, num_threads
        self._pool: ThreadPoolExecutor | None = None
        self._coming: deque[Future[list[Example]]] = deque()
        self._logged: set[int] = set()

    @property
    def sampler(self) -> BucketSampler:
        """The order and the position; do not move it."""
        return self._sampler

    def take(self, n: int) -> list[Batch]:
        """The next ``n`` micro-batches of this process; epochs follow each other without end.

        Raises:
            Exception: Whatever reading raises, also when it was read ahead; the position stays.
        """
        if self._prefetch == 0:
            taken = [self._collate(self._read(batch)) for batch in self._sampler.next_batches(n)]
        else:
            self._read_ahead(n + self._prefetch)
            try:
                taken = [self._collate(self._coming.popleft().result()) for _ in range(n)]
            except BaseException:
                self.close()  # what was popped must be read again
                raise
        self._sampler.advance(n)
        return taken

    def state_dict(self) -> dict[str, Any]:
        """The sampler's; what was read ahead does not count."""
        return self._sampler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to a saved position.

        Raises:
            CheckpointError: See ``BucketSampler.load_state_dict``.
        """
        self.close()
        self._sampler.load_state_dict(state)

    def close(self) -> None:
        """Stop reading ahead; the next ``take`` starts again at the right place."""
        self._coming.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def _read_ahead(self, num_wanted: int) -> None:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._num_threads, thread_name_prefix="rufous-read-ahead")
        missing = num_wanted - len(self._coming)
        for batch in self._sampler.next_batches(missing, ahead=len(self._coming)):
            self._coming.append(self._pool.submit(self._read, batch))

    def _read(self, batch: MicroBatch) -> list[Example]:
        others = iter(batch.others)
        return [self._example(index, batch, others) for index in batch.indices]

    def _example(self, index: int, batch: MicroBatch, others: Iterator[int]) -> Example:
        """The clip, or the next of its bucket that can be read, alike in every process."""
        first = index
        while True:
            try:
                return self._dataset.example(index, batch.bucket, batch.epoch)
            except (OSError, ValueError) as error:
                if index not in self._logged:
                    self._logged.add(index)
                    _log.warning("clip %d: %s; another of its bucket stands in for it", index, error)
                found = next(others, None)
                if found is None:
                    raise ValueError(
                        f"clip {first} and {len(batch.others)} more of {batch.bucket.name} cannot be read; "
                        f"the last one says: {error}; check the manifest and its root"
                    ) from error
                index = found

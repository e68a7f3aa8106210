"""Workers of a Ray cluster: actors, one task at a time in each, and a new actor for one that dies.

Actors and not Ray Data: its errors are those of a whole block, where one bad clip may cost its neighbours
theirs, and its checkpoints saved nothing when they were tried. Actors ask for part of a core so that they can
share a machine with Ray's own tasks; work for a GPU asks for part of one.
"""

import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from rufous.core.console import logger
from rufous.core.optional import require
from rufous.core.threads import use_one_thread
from rufous.data.executor import DIED, Failure, too_slow

_log = logger(__name__)


@dataclass(frozen=True, kw_only=True)
class RayExecutor:
    """A pool of actors. Files must lie under the same path on all machines of a cluster."""

    num_workers: int | None = None
    """Actors for work on the CPU; fewer where the cluster has no room for them. None: as many as it has room
    for, or one a core where it is started here."""
    timeout_s: float = 600.0
    """Seconds that one task may take; then its actor is ended, and the task failed."""
    start_timeout_s: float = 300.0
    """Seconds until an actor must be ready."""
    cpus_each: float = 0.5
    """Cores an actor asks for; its threads are one in any case."""
    gpus_each: float = 0.25
    """Part of a GPU an actor asks for whose work needs one."""
    address: str | None = None
    """Of a cluster, ``auto`` or ``ray://HOST:PORT``; None takes ``RAY_ADDRESS``, or starts one here."""

    def __post_init__(self) -> None:
        if (self.num_workers is not None and self.num_workers < 1) or not self.timeout_s > 0:
            raise ValueError(
                f"num_workers={self.num_workers} must be at least 1, timeout_s={self.timeout_s} above 0"
            )
        if not (self.cpus_each > 0 and 0 < self.gpus_each <= 1):
            raise ValueError(
                f"cpus_each={self.cpus_each} must be above 0, gpus_each={self.gpus_each} in (0, 1]"
            )

    def has_gpu_workers(self) -> bool:
        """Whether the cluster has a GPU."""
        return self._started().cluster_resources().get("GPU", 0.0) > 0

    def run(
        self, tasks: Iterable[Any], work: Callable[[Any], Any], *, needs_gpu: bool = False
    ) -> Iterator[tuple[Any, Any]]:
        """Tasks with their results as they come; a task whose actor died or hung has a ``Failure``.

        Raises:
            MissingDependencyError: Ray is not installed.
            RuntimeError: No actor comes up: the cluster has no room.
        """
        ray = self._started()
        resources = ray.cluster_resources()
        on_gpu = needs_gpu and resources.get("GPU", 0.0) > 0
        asked = {"num_cpus": self.cpus_each, "num_gpus": self.gpus_each if on_gpu else 0.0}
        size = self._size(resources, on_gpu=on_gpu)
        if size < 1:
            raise RuntimeError(f"the cluster has {resources}, too little for one worker of {asked}")
        pool = _Pool(ray, self, work, asked=asked, size=size)
        try:
            yield from pool.run(iter(tasks))
        finally:
            pool.end()

    def _size(self, resources: dict[str, float], *, on_gpu: bool) -> int:
        """Actors of one run: for a GPU as many as have room, else as many as are wanted."""
        room = math.floor(resources.get("CPU", 0.0) / self.cpus_each)
        if on_gpu:
            return min(room, math.floor(resources["GPU"] * math.floor(1 / self.gpus_each)))
        wanted = room if self.num_workers is None and self._cluster() else self._wanted_here()
        return min(room, wanted)

    def _cluster(self) -> str | None:
        """Address of a cluster that is there; None where one starts here."""
        return self.address or os.environ.get("RAY_ADDRESS")

    def _wanted_here(self) -> int:
        return self.num_workers or os.cpu_count() or 1

    def close(self) -> None:
        """End the connection, and the cluster if it was started here."""
        ray = require("ray", extra="ray")
        if ray.is_initialized():
            ray.shutdown()

    def _started(self) -> ModuleType:
        """Ray, connected.

        Raises:
            RuntimeError: It does not start.
        """
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault(
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0"
        )  # the coming default: said, not warned
        ray = require("ray", extra="ray")
        if not ray.is_initialized():
            address = self._cluster()
            chosen: dict[str, Any] = {"address": address}
            if address is None:
                # a core more than the actors take: what Ray itself starts must not wait for them for ever
                needed = math.ceil(self._wanted_here() * self.cpus_each) + 1
                chosen = {"num_cpus": max(os.cpu_count() or 1, needed), "include_dashboard": False}
            try:
                ray.init(**chosen, log_to_driver=False, logging_level="ERROR")
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:  # Ray raises plain Exception where a part of it is late
                ray.shutdown()
                raise RuntimeError(f"Ray did not start: {error}") from error
        return ray


class _Actor:
    """What runs in an actor."""

    def __init__(self, work: Callable[[Any], Any]) -> None:
        use_one_thread()
        self._work = work

    def is_ready(self) -> bool:
        return True

    def carry_out(self, task: Any) -> Any:
        return self._work(task)


class _Pool:
    """The actors of one run, and what each is busy with; owns them."""

    def __init__(
        self,
        ray: ModuleType,
        settings: RayExecutor,
        work: Callable[[Any], Any],
        *,
        asked: dict[str, float],
        size: int,
    ) -> None:
        self._ray, self._settings, self._size = ray, settings, size
        # no restart: a new actor is made, so that it is known which task took the old one down
        self._kind = ray.remote(max_restarts=0, max_task_retries=0, **asked)(_Actor)
        self._asked, self._work = asked, ray.put(work)
        self._busy: dict[Any, tuple[Any, Any, float]] = {}
        """By reference: actor, task (None while it starts) and deadline."""
        self._idle: list[Any] = []

    def run(self, tasks: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
        drawn = deque[Any]()
        while True:
            num_starting = sum(task is None for _, task, _ in self._busy.values())
            if len(drawn) <= num_starting and (task := next(tasks, None)) is not None:
                drawn.append(task)
            if not drawn and num_starting == len(self._busy):
                return
            if drawn and self._idle:
                actor, task = self._idle.pop(), drawn.popleft()
                deadline = time.monotonic() + self._settings.timeout_s
                self._busy[actor.carry_out.remote(task)] = (actor, task, deadline)
            elif len(drawn) > num_starting and len(self._busy) + len(self._idle) < self._size:
                self._begin()
            else:
                yield from self._heard()

    def end(self) -> None:
        for actor in [*self._idle, *(actor for actor, _, _ in self._busy.values())]:
            self._ray.kill(actor)
        self._idle, self._busy = [], {}

    def _begin(self) -> None:
        actor = self._kind.remote(self._work)
        deadline = time.monotonic() + self._settings.start_timeout_s
        self._busy[actor.is_ready.remote()] = (actor, None, deadline)

    def _heard(self) -> Iterator[tuple[Any, Any]]:
        first = min(deadline for _, _, deadline in self._busy.values())
        patience_s = max(0.0, min(first - time.monotonic() + 0.01, 3600.0))
        done, _ = self._ray.wait(list(self._busy), num_returns=1, timeout=patience_s)
        for reference in done:
            actor, task, _ = self._busy.pop(reference)
            try:
                result = self._ray.get(reference)
            except self._ray.exceptions.RayError as error:
                self._ray.kill(actor)
                if task is None:
                    raise RuntimeError(f"a worker did not start: {error}") from error
                _log.warning("a worker died: %s", error)
                yield task, Failure(reason=DIED)
                continue
            self._idle.append(actor)
            if task is not None:
                yield task, result
        now = time.monotonic()
        for reference in [each for each, (_, _, deadline) in self._busy.items() if deadline < now]:
            actor, task, _ = self._busy.pop(reference)
            self._ray.kill(actor)
            if task is None:
                raise RuntimeError(
                    f"no worker of {self._asked} was ready after {self._settings.start_timeout_s:g} s: "
                    f"the cluster has {self._ray.available_resources()} left"
                )
            yield task, too_slow(self._settings.timeout_s)

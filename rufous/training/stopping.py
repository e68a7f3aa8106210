"""Stopping a run cleanly: a signal or a time limit ends it after the step in progress."""

import signal
import threading
import time
from types import FrameType
from typing import Any

SAME_REQUEST_S = 5.0
"""Signals that follow the first one within this time say the same: a terminal, or a cluster, sends one to
every process, and a launcher among them sends it on."""


class StopRequest:
    """Remembers, inside a ``with`` block, that SIGTERM or SIGINT arrived or that the time is up.

    A later signal acts as it did outside the block, so a run that hangs can still be killed.
    Signals are only caught in the main thread, as Python allows nothing else.
    """

    def __init__(self, time_limit_s: float | None = None) -> None:
        self._started = time.monotonic()
        self._time_limit_s = time_limit_s
        self._signal: int | None = None
        self._signalled = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            self._before = {
                number: signal.signal(number, self._catch) for number in (signal.SIGTERM, signal.SIGINT)
            }
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began in this process."""
        return time.monotonic() - self._started

    @property
    def reason(self) -> str | None:
        """Why the run should stop, in words; None while it should go on."""
        if self._signal is not None:
            return f"signal {signal.Signals(self._signal).name}"
        if self._time_limit_s is not None and self.elapsed_s >= self._time_limit_s:
            return f"time limit of {self._time_limit_s:g} s"
        return None

    def _catch(self, number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._signal is None:
            self._signal, self._signalled = number, now
        elif now - self._signalled > SAME_REQUEST_S:
            self._restore()
            signal.raise_signal(number)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

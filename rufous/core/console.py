"""Logging: the library logs under the name ``rufous``; an app attaches one handler."""

import logging

from rich.console import Console
from rich.logging import RichHandler


def logger(name: str) -> logging.Logger:
    """The logger of one module; pass ``__name__``."""
    return logging.getLogger(name)


def show_log(*, verbose: bool = False) -> Console:
    """Send the library's log to stderr and return that console; called by apps only."""
    console = Console(stderr=True)
    root = logging.getLogger("rufous")
    root.handlers[:] = [RichHandler(console=console, show_path=False, show_time=False, markup=False)]
    root.setLevel(logging.DEBUG if verbose else logging.INFO)
    root.propagate = False
    return console

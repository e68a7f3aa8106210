"""Downloads through huggingface_hub, with errors that say what to do without a network."""

import logging
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rufous.core.errors import CheckpointError


def download_file(hub_id: str, file: str, *, revision: str | None = None, otherwise: str) -> Path:
    """A file of a hub repository, from the hub's cache or downloaded; an interrupted download is resumed.

    Args:
        hub_id: ``organisation/name``.
        file: Path in the repository.
        revision: Commit, tag or branch; None for the newest.
        otherwise: What a user without a network can do; ends the error.

    Raises:
        CheckpointError: Neither cached nor reachable, or not on the hub.
    """
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError

    try:
        with _without_retry_log():
            return Path(huggingface_hub.hf_hub_download(hub_id, file, revision=revision))
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise CheckpointError(_message(f"{file} of {hub_id}", error, otherwise)) from error


def download_release(hub_id: str, *, revision: str | None = None) -> Path:
    """All files of a release on the hub, verified by the caller.

    Raises:
        CheckpointError: As ``download_file``.
    """
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError

    # what a release is made of: never pickles or code
    wanted = ["*.json", "*.safetensors", "*/merges.txt", "*.md", "*.svg"]
    try:
        with _without_retry_log():
            return Path(huggingface_hub.snapshot_download(hub_id, revision=revision, allow_patterns=wanted))
    except (HfHubHTTPError, OSError, ValueError) as error:
        otherwise = "copy the release folder here by other means and load it by its path"
        raise CheckpointError(_message(hub_id, error, otherwise)) from error


@contextmanager
def _without_retry_log() -> Iterator[None]:
    """A line for each failed attempt says no more than the error at the end."""
    log = logging.getLogger("huggingface_hub.utils._http")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def _message(what: str, error: Exception, otherwise: str) -> str:
    line = next(iter(str(error).strip().splitlines()), type(error).__name__)
    reason = textwrap.shorten(line, 400, placeholder=" ...")
    return f"cannot download {what}: {reason.rstrip('.')}.\nWithout a network: {otherwise}"

"""Downloads through huggingface_hub, with errors that say what to do without a network."""

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
        return Path(huggingface_hub.snapshot_download(hub_id, revision=revision, allow_patterns=wanted))
    except (HfHubHTTPError, OSError, ValueError) as error:
        otherwise = "copy the release folder here by other means and load it by its path"
        raise CheckpointError(_message(hub_id, error, otherwise)) from error


def _message(what: str, error: Exception, otherwise: str) -> str:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return f"cannot download {what}: {reason[:200]}\nWithout a network: {otherwise}"

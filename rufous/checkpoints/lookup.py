"""From what a user names to a release folder: an embedded model, a path, a published release, or a hub id."""

import re
from pathlib import Path

import rufous
from rufous.checkpoints.hub import download_release
from rufous.checkpoints.matching import nearest
from rufous.checkpoints.published import PUBLISHED, fetch_published
from rufous.checkpoints.release import INDEX_NAME, is_release, verify_release
from rufous.core.errors import CheckpointError

MODELS_FOLDER = Path(rufous.__file__).parent / "models"


def embedded_models(folder: Path = MODELS_FOLDER) -> dict[str, Path]:
    """Release folders that come with the package, by name."""
    if not folder.is_dir():
        return {}
    return {path.name: path for path in sorted(folder.iterdir()) if is_release(path)}


def find_release(name: str | Path, cache_dir: Path | str | None = None) -> Path:
    """The release folder that ``name`` means; downloads and converts if it has to.

    Args:
        name: An embedded model's name, a folder, a key of ``PUBLISHED``, or the hub id of a release in this
            project's layout. An embedded model wins over a folder of that name; ``./name`` is the folder.
        cache_dir: Where converted releases are kept; None for the user's cache.

    Raises:
        CheckpointError: Nothing of that name, no network, or a damaged release; says what to do.
    """
    text = str(name)
    if isinstance(name, str) and text in (embedded := embedded_models()):
        return embedded[text]
    path = Path(name).expanduser()
    if path.exists():
        return _check_folder(path)
    if text in PUBLISHED:
        return fetch_published(text, cache_dir)
    by_hub_id = [release.name for release in PUBLISHED.values() if release.hub_id == text]
    if by_hub_id:
        raise CheckpointError(f"{text} holds files to convert: use the name {' or '.join(by_hub_id)}")
    if _is_hub_id(text):
        folder = download_release(text)
        if not is_release(folder):
            raise CheckpointError(f"{text} is no release of rufous: it has no {INDEX_NAME} and rufous.json")
        verify_release(folder)
        return folder
    known = [*embedded_models(), *PUBLISHED]
    close = nearest(text, known)
    hint = f"did you mean {close!r}? " if close else ""
    raise CheckpointError(f"no model {text!r}: {hint}Use a folder, a hub id, or one of {', '.join(known)}")


def _check_folder(path: Path) -> Path:
    if is_release(path):
        return path
    if path.is_dir():
        raise CheckpointError(f"{path} is no release: it has no {INDEX_NAME} and rufous.json")
    raise CheckpointError(
        f"{path} is a file: run `rufous convert {path} --output FOLDER`, then load the folder"
    )


def _is_hub_id(text: str) -> bool:
    """``organisation/name``, each part beginning with a letter or digit."""
    return re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", text) is not None

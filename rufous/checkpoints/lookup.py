"""From what a user names to a release folder: an embedded model, a path, a published release, or a hub id."""

import re
from collections.abc import Iterable
from pathlib import Path

import rufous
from rufous.checkpoints.hub import download_release
from rufous.checkpoints.matching import nearest
from rufous.checkpoints.published import PUBLISHED, cached_folder, fetch_published
from rufous.checkpoints.release import INDEX_NAME, component_kinds, is_release, verify_release
from rufous.core.errors import CheckpointError, MissingWeightsError

MODELS_FOLDER = Path(rufous.__file__).parent / "models"


def embedded_models(folder: Path = MODELS_FOLDER) -> dict[str, Path]:
    """Release folders that come with the package, by name."""
    if not folder.is_dir():
        return {}
    return {path.name: path for path in sorted(folder.iterdir()) if is_release(path)}


def find_release(name: str | Path, cache_dir: Path | str | None = None, *, kind: str | None = None) -> Path:
    """The release folder that ``name`` means; downloads and converts if it has to.

    Args:
        name: An embedded model's name, a folder, a key of ``PUBLISHED``, or the hub id of a release in this
            project's layout. An embedded model wins over a folder of that name; ``./name`` is the folder.
        cache_dir: Where converted releases are kept; None for the user's cache.
        kind: Where nothing has this name, offer embedded models with a component of this kind alone.

    Raises:
        MissingWeightsError: Nothing of that name; says what to do.
        CheckpointError: No network, or a damaged release; says what to do.
    """
    text, embedded = str(name), embedded_models()
    if isinstance(name, str) and text in embedded:
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
    known = [each for each, folder in embedded.items() if kind in (None, *component_kinds(folder).values())]
    known += PUBLISHED
    raise MissingWeightsError(
        f"no model {text!r}: {_hint(text, known)}Use a folder, a hub id, or one of {', '.join(known)}"
    )


def local_release(name: str | Path, cache_dir: Path | str | None = None) -> Path:
    """What ``name`` means on this machine: as ``find_release``, but nothing is downloaded or converted.

    Args:
        name: An embedded model's name, a path of any kind, or a key of ``PUBLISHED`` that was fetched before.
        cache_dir: As in ``find_release``.

    Raises:
        CheckpointError: Nothing of that name is here; says what to do.
    """
    text, embedded = str(name), embedded_models()
    if isinstance(name, str) and text in embedded:
        return embedded[text]
    path = Path(name).expanduser()
    if path.exists():
        return path
    if text in PUBLISHED:
        folder = cached_folder(text, cache_dir)
        if is_release(folder):
            return folder
        raise CheckpointError(
            f"{text} was not fetched yet, {folder} is no release: `rufous generate --model {text}` fetches it"
        )
    raise CheckpointError(
        f"{text} does not exist: {_hint(text, embedded)}use a path, or a name that `rufous models` lists"
    )


def _hint(text: str, known: Iterable[str]) -> str:
    close = nearest(text, known)
    return f"did you mean {close!r}? " if close else ""


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

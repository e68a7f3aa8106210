"""The chain of a release: all that it was made from, back to the first, found and hashed again.

A manifest names a parent release by its manifest's id, and a published file by its SHA-256. An id has 48
bits: it shows any accident, but is no proof against someone who sets out to forge a parent.
"""

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from rufous.checkpoints.lookup import embedded_models
from rufous.checkpoints.manifest import MANIFEST_NAME, Manifest, Parent
from rufous.checkpoints.release import is_release, verify_release
from rufous.core.console import logger
from rufous.core.errors import CheckpointError
from rufous.core.files import sha256_of

_log = logger(__name__)
State = Literal["ok", "missing", "changed"]


@dataclass(frozen=True, kw_only=True)
class ChainLink:
    """One release or file of a chain, with what was found in its place."""

    name: str
    state: State
    """ok: there, and every hash is right; missing: not found; changed: its files are not what its manifest
    says, or the release of that name that was given is another one."""
    reason: str | None = None
    """Why it is not ok."""
    role: str | None = None
    """What it gave to the release below it; None for the release that the chain begins with."""
    manifest_id: str | None = None
    """Of a release, as the release below it says."""
    sha256: str | None = None
    """Of a file, as the release below it says."""
    path: Path | None = None
    """Where it is; None if it is missing."""
    parents: tuple["ChainLink", ...] = ()
    """What it was made of; empty for what is missing or was exchanged for another release."""


def verify_chain(
    releases: Sequence[Path | str], *, search: Sequence[Path | str] = ()
) -> tuple[ChainLink, ...]:
    """Hash releases and all their ancestors again, and compare them with what their manifests say.

    Parents are looked for among ``releases`` first, then among the embedded models, then at any depth under
    the folders of ``search``. One of ``releases`` that has a parent's name and another id counts as changed;
    whatever else bears its name may be there for other reasons, so the parent is missing. Nothing is hashed
    twice, however often it is named.

    Args:
        releases: Release folders.
        search: Folders that may hold parents: release folders, or published files under their own names.

    Returns:
        A link for each of ``releases`` that is not an ancestor of another one, in their order.

    Raises:
        ValueError: A folder of ``search`` is none.
        CheckpointError: One of ``releases`` is no release, or its manifest cannot be read. Manifests that the
            search comes across and that cannot be read are passed by, with a warning.
    """
    chain = _Chain([Path(folder).resolve() for folder in releases], [Path(folder) for folder in search])
    links = [chain.link(folder) for folder in chain.given]
    ancestors = {link.path for root in links for depth, link, _ in walk([root]) if depth and link.path}
    return tuple([link for link in links if link.path not in ancestors] or links)


def walk(roots: Sequence[ChainLink]) -> Iterator[tuple[int, ChainLink, bool]]:
    """Every link after its child, with its depth and whether it came before; those are not entered again."""
    seen: set[object] = set()

    def below(link: ChainLink, depth: int) -> Iterator[tuple[int, ChainLink, bool]]:
        key = link.path or (link.name, link.manifest_id, link.sha256)
        is_repeated = key in seen
        seen.add(key)
        yield depth, link, is_repeated
        if not is_repeated:
            for parent in link.parents:
                yield from below(parent, depth + 1)

    for root in roots:
        yield from below(root, 0)


class _Chain:
    """What was found, and the links made so far."""

    def __init__(self, releases: list[Path], search: list[Path]) -> None:
        if wrong := [folder for folder in search if not folder.is_dir()]:
            raise ValueError(f"{wrong[0]} is no folder: name one that holds releases or published files")
        self.given = list(dict.fromkeys(releases))
        self._manifests = {path: Manifest.load(path) for path in self.given}
        found = [path.resolve() for path in embedded_models().values()]
        found += [path for folder in search for path in _releases_under(folder)]
        for path in found:
            if path not in self._manifests and (manifest := _readable_manifest(path)):
                self._manifests[path] = manifest
        self._search = search
        self._hashes: dict[Path, str] = {}
        self._links: dict[Path, ChainLink] = {}
        self._entered: set[Path] = set()

    def link(self, folder: Path) -> ChainLink:
        """The release in ``folder`` with all its ancestors; hashed at the first call."""
        if folder not in self._links:
            self._entered.add(folder)
            manifest = self._manifests[folder]
            reason = _damage(folder)
            self._links[folder] = ChainLink(
                name=manifest.name,
                state="changed" if reason else "ok",
                reason=reason,
                manifest_id=manifest.id,
                path=folder,
                parents=tuple(self._parent(parent) for parent in manifest.parents),
            )
            self._entered.remove(folder)
        return self._links[folder]

    def _parent(self, parent: Parent) -> ChainLink:
        link = ChainLink(
            name=parent.name,
            state="missing",
            role=parent.role,
            manifest_id=parent.manifest_id,
            sha256=parent.sha256,
        )
        if parent.manifest_id is not None:
            return self._parent_release(link)
        if parent.sha256 is not None:
            return self._parent_file(link)
        return replace(link, reason="it is named without a hash, so nothing can be compared")

    def _parent_release(self, named: ChainLink) -> ChainLink:
        same = [path for path, manifest in self._manifests.items() if manifest.id == named.manifest_id]
        if any(path in self._entered for path in same):
            return replace(named, state="changed", reason="it is its own ancestor, so an id was forged")
        links = [self.link(path) for path in same]
        if links:
            best = next((link for link in links if link.state == "ok"), links[0])
            return replace(best, name=named.name, role=named.role)
        others = {  # a release that goes on from an earlier one of its name does not stand in its place
            path: found.id
            for path, found in self._manifests.items()
            if found.name == named.name and path not in self._entered
        }
        reason = "; ".join(f"{path} is {found}" for path, found in others.items()) or None
        is_exchanged = any(path in self.given for path in others)
        return replace(named, state="changed" if is_exchanged else "missing", reason=reason)

    def _parent_file(self, named: ChainLink) -> ChainLink:
        pattern = glob.escape(Path(named.name).name)
        files = [path for folder in self._search for path in folder.rglob(pattern) if path.is_file()]
        files = list(dict.fromkeys(path.resolve() for path in files))
        for path in files:
            if self._hash_of(path) == named.sha256:
                return replace(named, state="ok", path=path)
        return replace(named, reason=f"another hash: {', '.join(map(str, files))}" if files else None)

    def _hash_of(self, path: Path) -> str:
        """Of a file of several gigabytes perhaps, so once."""
        if path not in self._hashes:
            self._hashes[path] = sha256_of(path)
        return self._hashes[path]


def _releases_under(folder: Path) -> list[Path]:
    """Release folders at any depth, but hidden ones, which are being written."""
    found = sorted(path.parent for path in folder.rglob(MANIFEST_NAME))
    visible = [path for path in found if not any(p.startswith(".") for p in path.relative_to(folder).parts)]
    return [path.resolve() for path in visible if is_release(path)]


def _readable_manifest(folder: Path) -> Manifest | None:
    try:
        return Manifest.load(folder)
    except CheckpointError as error:
        _log.warning("passed by: %s", error)
        return None


def _damage(folder: Path) -> str | None:
    """What is wrong with the files of a release, or None."""
    try:
        verify_release(folder)
    except CheckpointError as error:
        return str(error)
    return None

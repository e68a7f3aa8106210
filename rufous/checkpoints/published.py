"""Known published releases, and one step from their files to a release folder.

Nothing here was run with published weights: what was verified is the format, on files of the same layout,
names and shapes with random contents. Facts that the sources of this table do not give are None.

Source: the READMEs, scripts and licence files of the releases' code repositories.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rufous.checkpoints.convert import ConvertConfig, convert
from rufous.checkpoints.hub import download_file
from rufous.checkpoints.manifest import Parent
from rufous.checkpoints.release import is_release
from rufous.core.console import logger
from rufous.core.errors import CheckpointError
from rufous.core.files import sha256_of

UNKNOWN = "unknown here"
"""Said of a checksum that no source at hand tells."""
_log = logger(__name__)


@dataclass(frozen=True, kw_only=True)
class PublishedFile:
    """One file on the hub, or elsewhere."""

    hub_id: str
    """Its repository there; of a file elsewhere, what it is filed under on this machine."""
    file: str
    revision: str | None = None
    """Commit to fetch; None for the newest, since no commit was verified here."""
    size_bytes: int | None = None
    url: str | None = None
    """Address of a file that is not on the hub."""
    sha256: str | None = None
    """None if no source at hand tells it."""


@dataclass(frozen=True, kw_only=True)
class PublishedRelease:
    """A release that someone else published, and how to convert it."""

    name: str
    title: str
    files: tuple[PublishedFile, ...]
    kind: Literal["videocrafter2", "t2v-turbo-v1", "t2v-turbo-v2", "t2v-turbo-v2-mg", "hummingbird"]
    unet_parameters: int
    """Of the U-Net, as the published configuration builds it."""
    licence: str | None
    """As far as known here; read the model's page before use."""
    verified: str
    """What was checked by this project."""

    @property
    def hub_id(self) -> str:
        """Repository of the file that names the release (the last; those before it are what it builds on)."""
        return self.files[-1].hub_id


_FORMAT_ONLY = "format only: conversion of files with the same layout, names and shapes and random contents"
_VIDEOCRAFTER2_FILE = PublishedFile(hub_id="VideoCrafter/VideoCrafter2", file="model.ckpt")

PUBLISHED = {
    release.name: release
    for release in (
        PublishedRelease(
            name="videocrafter2",
            title="VideoCrafter2, 512x320, the teacher",
            files=(_VIDEOCRAFTER2_FILE,),
            kind="videocrafter2",
            unet_parameters=1_413_284_420,
            licence=None,
            verified=_FORMAT_ONLY,
        ),
        PublishedRelease(
            name="t2v-turbo-v1",
            title="T2V-Turbo, a LoRA over VideoCrafter2",
            files=(
                _VIDEOCRAFTER2_FILE,
                PublishedFile(hub_id="jiachenli-ucsb/T2V-Turbo-VC2", file="unet_lora.pt"),
            ),
            kind="t2v-turbo-v1",
            unet_parameters=1_413_366_340,
            licence=None,
            verified=f"{_FORMAT_ONLY}; the base of time_cond_proj is not published and is taken as zero",
        ),
        PublishedRelease(
            name="t2v-turbo-v2",
            title="T2V-Turbo-v2 without motion guidance",
            files=(
                _VIDEOCRAFTER2_FILE,
                PublishedFile(hub_id="jiachenli-ucsb/T2V-Turbo-v2", file="unet_no_mg.pt"),
            ),
            kind="t2v-turbo-v2",
            unet_parameters=1_413_366_340,
            licence=None,
            verified=_FORMAT_ONLY,
        ),
        PublishedRelease(
            name="t2v-turbo-v2-mg",
            title="T2V-Turbo-v2 with motion guidance",
            files=(
                _VIDEOCRAFTER2_FILE,
                PublishedFile(hub_id="jiachenli-ucsb/T2V-Turbo-v2", file="unet_mg.pt"),
            ),
            kind="t2v-turbo-v2-mg",
            unet_parameters=1_413_653_060,
            licence=None,
            verified=_FORMAT_ONLY,
        ),
        PublishedRelease(
            name="hummingbird-0.9b",
            title="AMD Hummingbird, 0.9B",
            files=(PublishedFile(hub_id="amd/AMD-Hummingbird-T2V", file="09B_merged_all.pt"),),
            kind="hummingbird",
            unet_parameters=945_209_220,
            licence="RAIL-MS",
            verified=_FORMAT_ONLY,
        ),
        PublishedRelease(
            name="hummingbird-0.7b",
            title="AMD Hummingbird, 0.7B: without the middle block",
            files=(PublishedFile(hub_id="amd/AMD-Hummingbird-T2V", file="07B_merged_all.pt"),),
            kind="hummingbird",
            unet_parameters=772_091_780,
            licence="RAIL-MS",
            verified=_FORMAT_ONLY,
        ),
    )
}


def default_cache() -> Path:
    """Where converted releases are kept unless the caller names another folder."""
    return Path.home() / ".cache" / "rufous"


def cached_folder(
    name: str, cache_dir: Path | str | None = None, *, dtype: Literal["fp32", "fp16", "bf16", "keep"] = "fp16"
) -> Path:
    """Where ``fetch_published`` puts a release, whether or not it is there."""
    return Path(cache_dir or default_cache()) / f"{name}-{dtype}"


def fetch_published(
    name: str,
    cache_dir: Path | str | None = None,
    *,
    dtype: Literal["fp32", "fp16", "bf16", "keep"] = "fp16",
    tokenizer: str = "hub",
) -> Path:
    """Download a published release, convert it, and return the folder; later calls return it at once.

    Downloads are kept in the hub's own cache and resumed there; the folder appears only when it is whole.

    Args:
        name: A key of ``PUBLISHED``.
        cache_dir: Folder for converted releases; None for ``default_cache()``.
        dtype: Stored dtype of the weights; the published networks ran in fp16.
        tokenizer: As in ``ConvertConfig``.

    Raises:
        CheckpointError: An unknown name, no network, or files that do not fit the format.
    """
    if name not in PUBLISHED:
        raise CheckpointError(f"no published release {name!r} is known: use one of {', '.join(PUBLISHED)}")
    release = PUBLISHED[name]
    folder = cached_folder(name, cache_dir, dtype=dtype)
    if is_release(folder):
        return folder
    _log.info("downloading %s (%s)", release.title, release.hub_id)
    otherwise = manual_steps(release)
    paths = [
        download_file(file.hub_id, file.file, revision=file.revision, otherwise=otherwise)
        for file in release.files
    ]
    parents = [
        Parent(name=f"{file.hub_id}/{file.file}", sha256=sha256_of(path))
        for file, path in zip(release.files, paths, strict=True)
    ]
    licences = {"weights": release.licence} if release.licence else {}
    config = ConvertConfig(kind=release.kind, name=name, dtype=dtype, tokenizer=tokenizer, licences=licences)
    convert(paths, folder, config, parents=parents)
    return folder


def manual_steps(release: PublishedRelease) -> str:
    """What to do on a machine without a network."""
    files = ", ".join(f"https://huggingface.co/{file.hub_id} {file.file}" for file in release.files)
    names = " ".join(file.file for file in release.files)
    return (
        f"on a machine with one, get {files}, and CLIP's vocab.json and merges.txt in a folder "
        f"clip_tokenizer; copy them here and run: rufous convert {names} --kind {release.kind} "
        f"--tokenizer clip_tokenizer --output {release.name}"
    )

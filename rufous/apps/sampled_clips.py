"""Several clips of each prompt, named and seeded by prompt and number; and the clips that are made already.

A folder of sampled clips holds clips alone, as VBench's tools want it; manifests lie in a folder beside it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rufous.apps.clips import Clip
from rufous.apps.outputs import existing_files
from rufous.apps.prompt_files import PromptLine

if TYPE_CHECKING:
    from rufous.evaluation.vbench.suite import SuiteEntry

_WAYS_OUT = "add --overwrite, or choose another --output"


def seed_of(prompt: str, index: int, base: int) -> int:
    """The seed of a clip: it depends on these three, and not on what else is made."""
    digest = hashlib.blake2b(f"{base}/{index}/{prompt}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def manifests_folder(folder: Path) -> Path:
    """Where the manifests of a folder of sampled clips lie: ``clips.manifests`` beside ``clips``."""
    return folder.with_name(f"{folder.name}.manifests")


def suite_clips(entries: "Sequence[SuiteEntry]", folder: Path, *, samples: int, seed: int) -> list[Clip]:
    """All clips that a suite asks for.

    Raises:
        ValueError: A prompt cannot be a file name.
    """
    from rufous.evaluation.vbench.suite import clip_name, merged, samples_of

    counts = [(entry.prompt, samples_of(entry, samples), seed) for entry in merged(entries).values()]
    return [
        _clip(prompt, i, folder / clip_name(prompt, i), base)
        for prompt, count, base in counts
        for i in range(count)
    ]


def class_clips(prompts: Mapping[str, str], folder: Path, *, samples: int, seed: int) -> list[Clip]:
    """``samples`` clips of each class, ``Archery-03.mp4``; seeded as those of a suite."""
    return [
        _clip(prompt, i, folder / f"{name}-{i:02d}.mp4", seed)
        for name, prompt in prompts.items()
        for i in range(samples)
    ]


def line_clips(lines: Sequence[PromptLine], folder: Path, *, samples: int, seed: int) -> list[Clip]:
    """``samples`` clips of each prompt of a list; a line's own seed stands for the common one.

    Raises:
        ValueError: A prompt cannot be a file name, is given twice, or has a name of its own.
    """
    from rufous.evaluation.vbench.suite import clip_name

    if named := [line.name for line in lines if line.name is not None]:
        raise ValueError(f"name {named[0]!r}: with --samples, clips are named by their prompts")
    prompts = [line.prompt for line in lines]
    if repeated := next((prompt for prompt in prompts if prompts.count(prompt) > 1), None):
        raise ValueError(
            f"prompt {repeated!r} is given twice: with --samples, its clips would share their names"
        )
    bases = [(line.prompt, seed if line.seed is None else line.seed) for line in lines]
    return [
        _clip(prompt, i, folder / clip_name(prompt, i), base)
        for prompt, base in bases
        for i in range(samples)
    ]


def still_to_make(clips: Sequence[Clip], how: Mapping[str, Any], *, overwrite: bool) -> list[Clip]:
    """The clips that are not there; those that are there must have been made in the same way.

    Args:
        clips: All that should be there.
        how: What the manifest of each would say, beside prompt and seed.
        overwrite: Make all again.

    Raises:
        ValueError: A clip is there that was made otherwise, was changed, or whose manifest is missing; or the
            place of its manifest is taken.
    """
    if overwrite:
        return list(clips)
    missing: list[Clip] = []
    for clip in clips:
        if existing_files(clip.path):
            _check_made_so(clip, {"prompt": clip.prompt, "seed": clip.seed, **how})
        else:
            _check_place(clip)
            missing.append(clip)
    return missing


def _clip(prompt: str, index: int, path: Path, base: int) -> Clip:
    manifest = manifests_folder(path.parent) / f"{path.stem}.json"
    return Clip(prompt=prompt, seed=seed_of(prompt, index, base), path=path, manifest=manifest)


def _check_made_so(clip: Clip, wanted: Mapping[str, Any]) -> None:
    from rufous.core.files import sha256_of

    found = _manifest_of(clip)
    if found is None:
        raise ValueError(f"{clip.path} is there without its manifest {_manifest_path(clip)}: {_WAYS_OUT}")
    for key, value in wanted.items():
        if found.get(key) != value:
            raise ValueError(
                f"{clip.path} was made with {key}={found.get(key)!r}, now it is {value!r}: {_WAYS_OUT}"
            )
    if found.get("sha256") not in (None, sha256_of(clip.path) if clip.path.is_file() else None):
        raise ValueError(f"{clip.path} is not the clip that its manifest describes: {_WAYS_OUT}")


def _check_place(clip: Clip) -> None:
    """A manifest without its clip is one of ours, whose clip was not finished or was deleted."""
    if _manifest_path(clip).exists() and (_manifest_of(clip) or {}).get("file") != clip.path.name:
        raise ValueError(f"{_manifest_path(clip)} exists and is no manifest of {clip.path.name}: {_WAYS_OUT}")


def _manifest_of(clip: Clip) -> dict[str, Any] | None:
    """None if it is not there, or is something else."""
    try:
        found = json.loads(_manifest_path(clip).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _manifest_path(clip: Clip) -> Path:
    from rufous.video.write import manifest_path

    return clip.manifest or manifest_path(clip.path)

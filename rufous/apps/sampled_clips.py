"""Several clips of each prompt, named and seeded by prompt and number, and those of them that are made
already.

The folder holds clips alone, as VBench's tools want it; manifests lie in a folder beside it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rufous.apps.clips import Clip
from rufous.apps.prompt_files import PromptLine

if TYPE_CHECKING:
    from rufous.evaluation.vbench.suite import SuiteEntry


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
    from rufous.evaluation.vbench.suite import merged, samples_of

    counts = [(entry.prompt, samples_of(entry, samples), seed) for entry in merged(entries).values()]
    return [_clip(prompt, i, folder, base) for prompt, count, base in counts for i in range(count)]


def line_clips(lines: Sequence[PromptLine], folder: Path, *, samples: int, seed: int) -> list[Clip]:
    """``samples`` clips of each prompt of a list; a line's own seed stands for the common one.

    Raises:
        ValueError: A prompt cannot be a file name, is given twice, or has a name of its own.
    """
    if named := [line.name for line in lines if line.name is not None]:
        raise ValueError(f"name {named[0]!r}: with --samples, clips are named by their prompts")
    prompts = [line.prompt for line in lines]
    if repeated := next((prompt for prompt in prompts if prompts.count(prompt) > 1), None):
        raise ValueError(
            f"prompt {repeated!r} is given twice: with --samples, its clips would share their names"
        )
    bases = [(line.prompt, seed if line.seed is None else line.seed) for line in lines]
    return [_clip(prompt, i, folder, base) for prompt, base in bases for i in range(samples)]


def still_to_make(clips: Sequence[Clip], how: Mapping[str, Any], *, overwrite: bool) -> list[Clip]:
    """The clips that are not there; those that are there must have been made in the same way.

    Args:
        clips: All that should be there.
        how: What the manifest of each would say, beside prompt and seed.
        overwrite: Make all again.

    Raises:
        ValueError: A clip is there that was made otherwise, or whose manifest is missing.
    """
    if overwrite:
        return list(clips)
    missing = [clip for clip in clips if not clip.path.exists()]
    for clip in clips:
        if clip.path.exists():
            _check_made_so(clip, {"prompt": clip.prompt, "seed": clip.seed, **how})
    return missing


def _clip(prompt: str, index: int, folder: Path, base: int) -> Clip:
    from rufous.evaluation.vbench.suite import clip_name

    name = clip_name(prompt, index)
    manifest = manifests_folder(folder) / f"{Path(name).stem}.json"
    return Clip(prompt=prompt, seed=seed_of(prompt, index, base), path=folder / name, manifest=manifest)


def _check_made_so(clip: Clip, wanted: Mapping[str, Any]) -> None:
    try:
        found = json.loads((clip.manifest or clip.path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise ValueError(
            f"{clip.path} is there without its manifest {clip.manifest}: add --overwrite, or choose another "
            "--output"
        ) from None
    for key, value in wanted.items():
        if found.get(key) != value:
            raise ValueError(
                f"{clip.path} was made with {key}={found.get(key)!r}, now it is {value!r}: add --overwrite, "
                "or choose another --output"
            )

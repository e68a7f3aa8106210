"""Prompts from a file: one per line, or one JSON object per line with a seed and a name of its own."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_FILE_BYTES = 64_000_000  # a file of prompts is text; more is a wrong file
_KEYS = ("prompt", "seed", "name")


@dataclass(frozen=True, kw_only=True)
class PromptLine:
    """One clip to make."""

    prompt: str
    seed: int | None = None
    """None: the seed of the command line."""
    name: str | None = None
    """File name of the clip, with or without a suffix; None: made from its number and its words."""


def read_prompts(path: Path) -> list[PromptLine]:
    """Prompts of a text file (one per line) or of a ``.jsonl`` file; empty lines are left out.

    Raises:
        ValueError: No prompts, or a line that is not what it should be; names the line.
        OSError: The file cannot be read.
    """
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise ValueError(f"{path} has {size:,} bytes: a file of prompts has at most {MAX_FILE_BYTES:,}")
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    is_jsonl = path.suffix.lower() in (".jsonl", ".ndjson")
    prompts = [
        _parse(line, f"{path}, line {number}") if is_jsonl else PromptLine(prompt=line.strip())
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]
    if not prompts:
        raise ValueError(f"{path} holds no prompt: write one per line")
    return prompts


def _parse(line: str, where: str) -> PromptLine:
    try:
        values: Any = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where} is no JSON: {error.msg}") from error
    if not isinstance(values, dict) or not isinstance(values.get("prompt"), str):
        raise ValueError(f'{where} has no text "prompt": write {{"prompt": "a red circle", "seed": 1}}')
    if unknown := sorted(set(values) - set(_KEYS)):
        raise ValueError(f"{where} has {', '.join(unknown)}: use {', '.join(_KEYS)}")
    seed, name = values.get("seed"), values.get("name")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
        raise ValueError(f"{where}: seed={seed!r} is no whole number")
    if name is not None and (not isinstance(name, str) or Path(name).name != name or name.startswith(".")):
        raise ValueError(f"{where}: name={name!r} is no plain file name, for example 'circle.mp4'")
    return PromptLine(prompt=values["prompt"], seed=seed, name=name)

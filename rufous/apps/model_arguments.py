"""Models on a command line with their own settings: ``world-teacher:steps=50,guidance=3,label=teacher``."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

_KINDS: dict[str, Callable[[str], Any]] = {"steps": int, "guidance": float, "solver": str, "label": str}
_KIND_NAMES = {int: "whole number", float: "number"}


@dataclass(frozen=True, kw_only=True)
class ModelArgument:
    """A model and how to sample it; None leaves a setting to the model."""

    model: str
    steps: int | None = None
    guidance: float | None = None
    solver: str | None = None
    label: str | None = None


def parse_models(
    texts: Sequence[str], *, steps: str | None = None, guidance: str | None = None
) -> list[ModelArgument]:
    """Models with their own settings, and ``--steps`` and ``--guidance`` where they name none.

    Args:
        texts: ``MODEL`` or ``MODEL:key=value,...``; MODEL may hold colons, and a label commas.
        steps: One value, or one for each model with commas between.
        guidance: As ``steps``.

    Raises:
        ValueError: An unknown or repeated key, a value of the wrong kind, or another number of values than
            models.
    """
    models = [_parse(text) for text in texts]
    for key, common in (("steps", steps), ("guidance", guidance)):
        for index, value in enumerate(_one_per_model(key, common, len(models))):
            if getattr(models[index], key) is None:
                models[index] = replace(models[index], **{key: value})
    return models


def _parse(text: str) -> ModelArgument:
    match = re.fullmatch(r"(.+?):([a-z]+=.*)", text, re.DOTALL)
    if match is None:
        return ModelArgument(model=text)
    settings: dict[str, Any] = {}
    for part in re.split(r",(?=[a-z]+=)", match[2]):
        key, _, value = part.partition("=")
        if key not in _KINDS or key in settings:
            problem = "is given twice" if key in settings else "is unknown"
            raise ValueError(f"{text!r}: {key} {problem}: use {', '.join(_KINDS)}, each at most once")
        settings[key] = _value(key, value, where=repr(text))
    return ModelArgument(model=match[1], **settings)


def _one_per_model(key: str, text: str | None, count: int) -> list[Any]:
    if text is None:
        return [None] * count
    values = [_value(key, part, where=f"--{key} {text!r}") for part in text.split(",")]
    if len(values) not in (1, count):
        raise ValueError(
            f"--{key} {text!r} has {len(values)} values for {count} models: give one, or one for each model"
        )
    return values * count if len(values) == 1 else values


def _value(key: str, text: str, *, where: str) -> Any:
    kind = _KINDS[key]
    try:
        value = kind(text.strip())
    except ValueError:
        raise ValueError(f"{where}: {key}={text!r} is no {_KIND_NAMES[kind]}") from None  # type: ignore[index]
    if value == "":
        raise ValueError(f"{where}: {key} is empty: write {key}=VALUE, or leave it out")
    return value

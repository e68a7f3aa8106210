"""What a recipe is: a named run with a config, presets, and a function that carries it out."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

import torch

from rufous.checkpoints.lookup import embedded_models
from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.release import is_release
from rufous.core.config import flattened, to_json_dict
from rufous.training.loop import MAY_CHANGE, TrainConfig


def portable_config(config: Any) -> Any:
    """JSON values of a config for a manifest: absolute paths keep their last two parts, not the machine's."""
    values = to_json_dict(config)
    if isinstance(values, dict):
        return {key: portable_config(value) for key, value in values.items()}
    if isinstance(values, list):
        return [portable_config(value) for value in values]
    if isinstance(values, str) and Path(values).is_absolute():
        return "/".join(Path(values).parts[-2:])
    return values


def made_of(config: Any, *, leave_out: Collection[str] = MAY_CHANGE) -> dict[str, Any]:
    """What decides a run of a recipe: its settings by dotted name, with the id of each release they name.

    For ``train``, which refuses to go on with anything else, and for telling whether a stage is done. Folders
    that are no releases (``*_dir``) do not count: what is cached in them is checked where it is read.

    Args:
        config: Of the recipe, or JSON values.
        leave_out: Fields of its trainings that do not count either; what a resumed run may set anew.
    """
    values = flattened(portable_config(_without(config, leave_out)))
    releases = {
        name: Manifest.load(release).id
        for name, value in flattened(to_json_dict(config)).items()
        if isinstance(value, str) and (release := _release_of(value)) is not None
    }
    return {**values, **releases}


def _without(config: Any, names: Collection[str]) -> Any:
    """JSON values of a config without folders, its trainings without the fields of these names."""
    if isinstance(config, tuple | list):
        return [_without(each, names) for each in config]
    if not is_dataclass(config) or isinstance(config, type):
        return to_json_dict(config)
    left_out = set(names) if isinstance(config, TrainConfig) else set()
    kept = [
        each.name
        for each in fields(config)
        if each.name not in left_out and not each.name.endswith(("_dir", "_dirs"))
    ]
    return {name: _without(getattr(config, name), names) for name in kept}


def _release_of(value: str) -> Path | None:
    release = embedded_models().get(value, Path(value))
    return release if is_release(release) else None


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One reproducible run; ``rufous train NAME`` runs it."""

    name: str
    summary: str
    """One line: what comes out."""
    config: Any
    """Frozen dataclass with the default settings; ``key=value`` overrides apply to it."""
    run: Callable[[Any, Path, torch.device], Path]
    """Called with the config, the folder of the run and the device; gives the folder or file it made."""
    presets: Mapping[str, Any] = field(default_factory=dict)
    """Other settings by name, for example ``small``; same type as ``config``."""

    def preset(self, name: str | None) -> Any:
        """The default config, or the named one.

        Raises:
            ValueError: No such preset; the message lists them.
        """
        if name is None:
            return self.config
        if name not in self.presets:
            raise ValueError(
                f"recipe {self.name} has no preset {name!r}: use {', '.join(self.presets) or 'none'}"
            )
        return self.presets[name]

"""What a recipe is: a named run with a config, presets, and a function that carries it out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from rufous.core.config import to_json_dict


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

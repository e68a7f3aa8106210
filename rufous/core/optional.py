"""Imports of packages that only an extra brings, with an error that says how to install them."""

import importlib
from types import ModuleType

from rufous.core.errors import MissingDependencyError


def require(module: str, *, extra: str) -> ModuleType:
    """Import ``module`` or say which extra of rufous brings it.

    Raises:
        MissingDependencyError: The module is not installed; the message holds the exact command.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError(
            f"this needs the package {module!r}, which is not installed: pip install 'rufous[{extra}]'"
        ) from error

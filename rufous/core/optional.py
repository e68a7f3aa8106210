"""Imports of packages that only an extra brings, with an error that says how to install them."""

import importlib
import importlib.util
from types import ModuleType

from rufous.core.errors import MissingDependencyError


def require(module: str, *, extra: str | None = None, package: str | None = None) -> ModuleType:
    """Import ``module`` or say how to get it.

    Args:
        module: Its import name.
        extra: The extra of rufous that brings it.
        package: The package that brings it, where no extra does.

    Raises:
        MissingDependencyError: The module is not installed; the message holds the exact command.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError(_how_to_get(module, extra, package)) from error


def missing_package(module: str, *, extra: str | None = None, package: str | None = None) -> str | None:
    """How to get a package that is not installed, with the arguments of ``require``; None if it is.

    Imports nothing.
    """
    if importlib.util.find_spec(module) is not None:
        return None
    return _how_to_get(module, extra, package)


def _how_to_get(module: str, extra: str | None, package: str | None) -> str:
    wanted = f"'rufous[{extra}]'" if extra else package or module
    return f"this needs the package {module!r}, which is not installed: pip install {wanted}"

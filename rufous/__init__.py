"""Rufous makes text-to-video models small and fast, and runs them.

Only the version and two shortcuts live here, so that ``rufous --help`` stays fast; the public API is the
``__all__`` of each package: core, video, diffusion, networks, training, perception, world, checkpoints,
distillation, pipelines, recipes, apps.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rufous.pipelines.loading import load as load

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    """Import ``rufous.load`` on first use, so that importing the package does not import torch."""
    if name == "load":
        from rufous.pipelines.loading import load

        return load
    raise AttributeError(f"module 'rufous' has no attribute {name!r}")

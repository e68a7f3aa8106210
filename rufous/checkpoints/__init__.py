"""Checkpoints.

* ``release`` - release folders: save, load, verify.
* ``manifest`` - what a release says about itself.
* ``kinds`` - the kinds of components.
* ``tensor_files`` - safetensors, written tensor by tensor.
* ``matching`` - strict loading with the nearest names.
"""

from rufous.checkpoints.kinds import DiffusionConfig
from rufous.checkpoints.manifest import Manifest, Parent
from rufous.checkpoints.release import (
    component_kinds,
    load_component,
    load_config,
    save_release,
    verify_release,
)

__all__ = [
    "DiffusionConfig",
    "Manifest",
    "Parent",
    "component_kinds",
    "load_component",
    "load_config",
    "save_release",
    "verify_release",
]

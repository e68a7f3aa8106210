"""Features of clips that were read before, in one safetensors file, so that a run goes on where it stopped.

A row belongs to the bytes of a clip and its first frame, not to its name; what else a feature depends on
(network, weights, pixels, frames) is written into the header, and a file of other settings is not read.
"""

import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from rufous.checkpoints.tensor_files import read_header, read_tensors, write_tensors
from rufous.core.console import logger
from rufous.core.errors import CheckpointError

_log = logger(__name__)


class FeatureCache:
    """Owns the rows of one file; they are written every so many seconds and by ``save``."""

    def __init__(
        self, folder: Path | str | None, settings: Mapping[str, object], *, save_every_s: float = 60.0
    ) -> None:
        """Read what is there.

        Args:
            folder: Where cache files lie; None keeps rows in memory alone.
            settings: JSON values that a feature depends on, beside its clip.
            save_every_s: Between two writings.
        """
        self._settings = json.dumps(dict(settings), sort_keys=True)
        digest = hashlib.sha256(self._settings.encode()).hexdigest()[:16]
        self.path = (
            None
            if folder is None
            else Path(folder) / f"{settings.get('features', 'clips')}-{digest}.safetensors"
        )
        self._rows: dict[str, Tensor] = {}
        self._save_every_s, self._saved_at = save_every_s, time.monotonic()
        self._is_changed = False
        if self.path is not None and self.path.exists():
            self._rows = self._stored(self.path)

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, key: str) -> Float[Tensor, " d"] | None:
        """The row of a clip, or None."""
        return self._rows.get(key)

    def put(self, rows: Mapping[str, Tensor]) -> None:
        """Keep rows, and write the file if it is time."""
        self._rows |= rows
        self._is_changed = True
        if time.monotonic() - self._saved_at >= self._save_every_s:
            self.save()

    def save(self) -> None:
        """Write the file, whole or not at all; nothing if nothing changed.

        Raises:
            OSError: The disk is full or cannot be written.
        """
        if self.path is None or not self._is_changed:
            return
        features = torch.stack(list(self._rows.values()))
        metadata = {"settings": self._settings, "keys": json.dumps(list(self._rows))}
        write_tensors(self.path, {"features": features}, metadata=metadata)
        self._saved_at, self._is_changed = time.monotonic(), False

    def _stored(self, path: Path) -> dict[str, Tensor]:
        """Rows of a file; a damaged one is begun anew, since it holds nothing that cannot be computed."""
        try:
            metadata = read_header(path).metadata
            features = read_tensors(path)["features"].clone()
            keys = json.loads(metadata["keys"])
        except (CheckpointError, KeyError, json.JSONDecodeError) as error:
            _log.warning("%s is no cache of features and is begun anew: %s", path, error)
            return {}
        if metadata.get("settings") != self._settings or len(keys) != len(features):
            _log.warning("%s belongs to other settings and is begun anew", path)
            return {}
        return dict(zip(keys, features, strict=True))

"""What a clip looks like in 900 bytes that stay alike under re-encoding, scaling and small crops.

A few frames, evenly spread, are squeezed to 32x32 and described by the lowest frequencies of their cosine
transforms: luma 10x10, both colour differences 5x5. Only the lower ones are compared; the higher ones tell
what the lower ones become in a crop. All but the means are divided by the clip's contrast, so that distances
are shares of what there is to see.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rufous.core.optional import require
from rufous.data.clip import Clip
from rufous.data.stage import Gives

NUM_FRAMES = 6
LUMA, CHROMA = 10, 5
"""Frequencies per axis."""
COMPARED_LUMA, COMPARED_CHROMA = 6, 3
"""Those that are compared."""
_SIDE = 32
_UNIT = 64.0
"""A coefficient as large as the clip's contrast is stored as this."""
_MEAN_UNIT = 0.5
"""A mean's levels are stored times this."""
MEAN_WEIGHT = 1 / 40
"""What a level of difference between means weighs: 40 as much as all contrast."""
_MIN_CONTRAST = 8.0
"""Levels; what differs by less is no content but noise."""


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """Tag ``fingerprint``: text that ``duplicates`` compares; 1200 characters."""

    name: ClassVar[str] = "fingerprint"
    after: ClassVar[tuple[str, ...]] = ()
    version: ClassVar[int] = 1
    needs_gpu: ClassVar[bool] = False
    gives: ClassVar[Gives] = Gives()

    def process(self, clip: Clip) -> list[Clip]:
        """The clip with its tag."""
        small = clip.frames().small
        chosen = [int((i + 0.5) * len(small) / NUM_FRAMES) for i in range(NUM_FRAMES)]
        return [clip.with_tags(fingerprint=_to_text(described([small[i] for i in chosen])))]


@dataclass(frozen=True)
class Description:
    """Fingerprints as numbers, of one clip or of ``n``; the first dimensions are ``n`` and the frame."""

    luma: np.ndarray
    """Cosine coefficients ``... f 10 10``, of which [0, 0] is 0."""
    chroma: np.ndarray
    """The same of blue and red less luma, ``... f 2 5 5``."""
    means: np.ndarray
    """Mean luma, blue less luma, red less luma, in units that weigh like contrast: ``... f 3``."""


def described(frames: Sequence[np.ndarray]) -> np.ndarray:
    """The fingerprint of ``NUM_FRAMES`` frames, RGB uint8 ``h w 3``, as int8 ``f 150``."""
    cv2 = require("cv2", extra="curate")
    squares = [cv2.resize(frame, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA) for frame in frames]
    red, green, blue = np.moveaxis(np.stack(squares).astype(np.float32), -1, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue - 128
    basis = cosines(_SIDE)[:LUMA]
    planes = np.stack([luma, blue - luma - 128, red - luma - 128], axis=1)
    spectra = basis @ planes @ basis.T / _SIDE  # f 3 10 10; [0, 0] is the mean
    parts = [spectra[:, 0], spectra[:, 1, :CHROMA, :CHROMA], spectra[:, 2, :CHROMA, :CHROMA]]
    flat = np.concatenate([part.reshape(len(frames), -1) for part in parts], axis=1)
    firsts = [0, LUMA**2, LUMA**2 + CHROMA**2]
    means = flat[:, firsts].copy()
    flat[:, firsts] = 0.0
    seen = [part[:, :COMPARED_LUMA, :COMPARED_LUMA] for part in parts[:1]]
    seen += [part[:, :COMPARED_CHROMA, :COMPARED_CHROMA] for part in parts[1:]]
    squared = sum(np.square(part).sum() - np.square(part[:, 0, 0]).sum() for part in seen) / len(frames)
    squared = max(0.0, float(squared))  # of a plain picture, rounding takes it below
    contrast = max(_MIN_CONTRAST, squared**0.5)
    flat *= _UNIT / contrast
    flat[:, firsts] = means * _MEAN_UNIT
    return np.clip(flat.round(), -127, 127).astype(np.int8)


def cosines(size: int) -> np.ndarray:
    """The orthonormal cosine transform: row ``k`` is its frequency ``k``."""
    place = (np.arange(size) + 0.5) * np.pi / size
    rows = np.cos(np.arange(size)[:, None] * place) * np.sqrt(2 / size)
    rows[0] /= np.sqrt(2)
    return rows.astype(np.float32)


def _to_text(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode()


def from_text(texts: Sequence[str]) -> np.ndarray:
    """Fingerprints as the tags hold them, as int8 ``n f 150``.

    Raises:
        ValueError: A text is no fingerprint of this version.
    """
    size = LUMA**2 + 2 * CHROMA**2
    values = np.empty((len(texts), NUM_FRAMES, size), np.int8)
    for i, text in enumerate(texts):
        raw = base64.b64decode(text)
        if len(raw) != NUM_FRAMES * size:
            raise ValueError(f"{text[:20]}... is no fingerprint: {len(raw)} bytes, not {NUM_FRAMES * size}")
        values[i] = np.frombuffer(raw, np.int8).reshape(NUM_FRAMES, size)
    return values


def unpacked(values: np.ndarray) -> Description:
    """What ``described`` packed, in float32, scaled so that a squared distance is a mean over frames."""
    scaled = values.astype(np.float32) / (_UNIT * np.sqrt(NUM_FRAMES))
    luma = scaled[..., : LUMA**2].reshape(*scaled.shape[:-1], LUMA, LUMA)
    chroma = scaled[..., LUMA**2 :].reshape(*scaled.shape[:-1], 2, CHROMA, CHROMA)
    means = np.stack([luma[..., 0, 0], chroma[..., 0, 0, 0], chroma[..., 1, 0, 0]], axis=-1)
    means = means * (_UNIT / _MEAN_UNIT * MEAN_WEIGHT)
    luma[..., 0, 0] = 0.0
    chroma[..., 0, 0] = 0.0
    return Description(luma, chroma, means)

"""Clips as images, through Pillow: animated WebP, and PNG frames whose names hold a number.

PNG frames are named by a printf pattern such as ``folder/frame_%05d.png``; a folder stands for that pattern.
Metadata is one JSON object: in WebP's EXIF description, and as one text chunk in every PNG.
"""

import io
import itertools
import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from rufous.core.console import logger
from rufous.core.files import atomic_path

FRAME_NAME = "frame_%05d.png"
METADATA_KEY = "rufous"
DEFAULT_FPS = Fraction(25)
"""What ffmpeg takes for image sequences, which seldom say a rate."""

_NUMBER = re.compile(r"%0?(\d*)d")
_SUFFIXES = ("", ".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")  # of patterns; others are names of videos
_EXIF_DESCRIPTION = 0x010E  # EXIF tag ImageDescription, ASCII
_MAX_WEBP_SIDE = 16383  # pixels, VP8's 14 bits
_WEBP_ANIMATED, _WEBP_HAS_EXIF, _WEBP_NO_BLENDING = 0x02, 0x08, 0x02  # flags of VP8X and of ANMF
_log = logger(__name__)


@dataclass(frozen=True, kw_only=True)
class ImageClip:
    """A clip of images: when each frame starts, and how to get at it."""

    path: Path
    files: tuple[Path, ...]
    """One file per frame; a single file for WebP."""
    timestamps_s: tuple[Fraction, ...]
    duration_s: Fraction
    width: int
    height: int
    mode: str
    """Pillow's pixel mode, e.g. RGB."""
    metadata: dict[str, str]

    def read(self, indices: list[int]) -> list[np.ndarray]:
        """Frames as ``h w 3`` uint8 arrays; an alpha channel is dropped."""
        if len(self.files) == len(self.timestamps_s) and self.path.suffix != ".webp":
            return [_rgb_of_file(self.files[i], (self.width, self.height)) for i in indices]
        wanted: dict[int, np.ndarray] = {}
        with Image.open(self.path) as image:
            for i in sorted(set(indices)):  # ascending: an animation decodes forward only
                image.seek(i)
                wanted[i] = np.asarray(image.convert("RGB"))
        return [wanted[i] for i in indices]


def is_image_clip(path: Path) -> bool:
    """Whether ``path`` means an animated WebP, a folder of PNG frames or a pattern of them.

    The name of a file that is there is no pattern, and neither is that of a video: ``my%20dog.mp4``.
    """
    suffix = path.suffix.lower()
    is_pattern = suffix in _SUFFIXES and _NUMBER.search(path.name) is not None and not path.exists()
    return suffix == ".webp" or path.is_dir() or is_pattern


def write_webp(
    path: Path, frames: np.ndarray, *, fps: Fraction, lossless: bool, metadata: Mapping[str, str]
) -> None:
    """Write an endless animated WebP; frame i starts at i / fps, rounded to WebP's milliseconds.

    Every frame is stored whole. libwebp's own animation encoder drops frames that differ little from the one
    before, which would change the number of frames.

    Args:
        path: Ends in ``.webp``.
        frames: ``f h w 3`` uint8.
        fps: Frames per second.
        lossless: Keep every pixel, at several times the size.
        metadata: Goes into EXIF.

    Raises:
        ValueError: The rate needs frames shorter than a millisecond, or the size is beyond the format.

    Source:
        RFC 9649 (WebP container), section 2.
    """
    if fps > 1000:
        raise ValueError(f"fps={fps} is too fast for .webp, which counts in milliseconds: use at most 1000")
    if max(frames.shape[1:3]) > _MAX_WEBP_SIDE:
        raise ValueError(
            f"frames of {frames.shape[2]}x{frames.shape[1]} are too large for .webp: use .mp4 or PNG frames"
        )
    starts_ms = [round(i * 1000 / fps) for i in range(len(frames) + 1)]
    height, width = frames.shape[1:3]
    size = _uint24(width - 1) + _uint24(height - 1)
    exif = Image.Exif()
    exif[_EXIF_DESCRIPTION] = json.dumps(dict(metadata))
    chunks = [
        _chunk(b"VP8X", bytes([_WEBP_ANIMATED | _WEBP_HAS_EXIF, 0, 0, 0]) + size),
        _chunk(b"ANIM", bytes(6)),  # background colour, then 0: loops for ever
    ]
    for frame, (start, end) in zip(frames, itertools.pairwise(starts_ms), strict=True):
        header = bytes(6) + size + _uint24(end - start) + bytes([_WEBP_NO_BLENDING])
        chunks.append(_chunk(b"ANMF", header + _webp_still(frame, lossless=lossless)))
    chunks.append(_chunk(b"EXIF", exif.tobytes().removeprefix(b"Exif\0\0")))
    with atomic_path(path) as temporary:
        temporary.write_bytes(_chunk(b"RIFF", b"WEBP" + b"".join(chunks)))


def _webp_still(frame: np.ndarray, *, lossless: bool) -> bytes:
    """The VP8 or VP8L chunk of one frame."""
    buffer = io.BytesIO()
    quality = 75 if lossless else 90  # lossless: effort, not fidelity
    Image.fromarray(frame).save(buffer, "webp", lossless=lossless, quality=quality, method=2)
    return buffer.getvalue()[12:]  # after "RIFF", the size and "WEBP"


def _chunk(name: bytes, payload: bytes) -> bytes:
    return name + len(payload).to_bytes(4, "little") + payload + bytes(len(payload) % 2)


def _uint24(number: int) -> bytes:
    return number.to_bytes(3, "little")


def png_pattern(path: Path) -> Path:
    """The printf pattern that ``path`` means: itself, or the frames of a folder.

    Raises:
        ValueError: The name holds no number, or more than one.
    """
    if not path.suffix or path.is_dir():
        return path / FRAME_NAME
    if len(_NUMBER.findall(path.name)) != 1 or path.name.count("%") != 1:
        raise ValueError(
            f"{path}: PNG frames need one number in the name, for example {path.stem}_%05d.png, or a folder"
        )
    return path


def write_png_frames(path: Path, frames: np.ndarray, *, metadata: Mapping[str, str]) -> None:
    """Write PNG frames numbered from 0; all are staged beside their place first, then renamed.

    Frames of an earlier, longer clip under the same pattern are removed; other files are left alone.

    Args:
        path: A folder, or a pattern such as ``folder/frame_%05d.png``.
        frames: ``f h w 3`` uint8.
        metadata: Goes into every frame.
    """
    pattern = png_pattern(path)
    folder = pattern.parent
    folder.mkdir(parents=True, exist_ok=True)
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text(METADATA_KEY, json.dumps(dict(metadata)))
    staging = Path(tempfile.mkdtemp(prefix=".frames-", dir=folder))
    try:
        names = [pattern.name % i for i in range(len(frames))]
        for name, frame in zip(names, frames, strict=True):
            Image.fromarray(frame).save(staging / name, format="PNG", pnginfo=chunks)
        for name in names:
            (staging / name).replace(folder / name)
        for stale in _files_of(pattern):
            if stale.name not in names:
                stale.unlink()
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def open_image_clip(path: Path) -> ImageClip:
    """Look at a clip of images without decoding all of it.

    Raises:
        ValueError: No frames, or a file that Pillow cannot read.
    """
    try:
        return _open_webp(path) if path.suffix.lower() == ".webp" else _open_png_frames(path)
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path}: damaged or not an image ({error})") from error


def stated_frames(path: Path) -> tuple[int, int, int]:
    """Width, height and number of frames as headers say them; nothing is decoded.

    Raises:
        ValueError: No frames, or a file that Pillow cannot read.
    """
    if path.suffix.lower() != ".webp":
        clip = open_image_clip(path)
        return clip.width, clip.height, len(clip.files)
    try:
        with Image.open(path) as image:
            return *image.size, getattr(image, "n_frames", 1)
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path}: damaged or not an image ({error})") from error


def _open_webp(path: Path) -> ImageClip:
    with Image.open(path) as image:
        starts_ms = [0]
        for i in range(getattr(image, "n_frames", 1)):
            image.seek(i)
            image.load()  # the duration is known only once a frame is decoded
            starts_ms.append(starts_ms[-1] + int(image.info.get("duration", 0)))
        description = image.getexif().get(_EXIF_DESCRIPTION, "")
        return ImageClip(
            path=path,
            files=(path,),
            timestamps_s=tuple(Fraction(ms, 1000) for ms in starts_ms[:-1]),
            duration_s=Fraction(starts_ms[-1], 1000),
            width=image.width,
            height=image.height,
            mode=image.mode,
            metadata=metadata_from_json(str(description)),
        )


def _open_png_frames(path: Path) -> ImageClip:
    files = tuple(_files_of(png_pattern(path))) or tuple(sorted(path.glob("*.png")))
    if not files:
        raise ValueError(f"{path}: no PNG frames there")
    with Image.open(files[0]) as image:
        metadata = metadata_from_json(str(image.info.get(METADATA_KEY, "")))
        size, mode = image.size, image.mode
    fps = stated_fps(metadata)
    if fps is None:
        _log.warning("%s: the frames say no frame rate; taking %s fps, as ffmpeg does", path, DEFAULT_FPS)
        fps = DEFAULT_FPS
    return ImageClip(
        path=path,
        files=files,
        timestamps_s=tuple(i / fps for i in range(len(files))),
        duration_s=len(files) / fps,
        width=size[0],
        height=size[1],
        mode=mode,
        metadata=metadata,
    )


def metadata_from_json(text: str) -> dict[str, str]:
    """A JSON object as strings; empty if ``text`` is something else, since other programs write there too."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def stated_fps(metadata: Mapping[str, str]) -> Fraction | None:
    """The frame rate that this project's writers leave in image formats, which have no field for it."""
    try:
        fps = Fraction(metadata.get("fps", "0"))
    except (ValueError, ZeroDivisionError):
        return None
    return fps if fps > 0 else None


def _files_of(pattern: Path) -> list[Path]:
    """Existing frames of a pattern, by number."""
    before, after = _NUMBER.sub("%d", pattern.name).split("%d")
    name = re.compile(re.escape(before) + r"(\d+)" + re.escape(after))
    matches = ((name.fullmatch(file.name), file) for file in pattern.parent.glob("*") if file.is_file())
    return [file for _, file in sorted((int(match[1]), file) for match, file in matches if match)]


def _rgb_of_file(file: Path, size: tuple[int, int]) -> np.ndarray:
    try:
        with Image.open(file) as image:
            if image.size != size:
                raise ValueError(f"{file}: {image.width}x{image.height} among frames of {size[0]}x{size[1]}")
            return np.asarray(image.convert("RGB"))
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(f"{file}: damaged or not an image ({error})") from error

"""What a file says and what it is: its size, rate and codec, and the hash of its bytes.

Whoever cannot be read goes no further. What a header claims is weighed before anything is decoded: a small
file may claim more frames, or larger ones, than any memory holds.
"""

from dataclasses import dataclass
from typing import ClassVar

from rufous.core.files import cached_sha256_of
from rufous.data.clip import Clip, Value
from rufous.data.media import ClipMedia
from rufous.data.stage import Gives
from rufous.video.read import describe, stated_size

_NUMBERS = (
    *("width", "height", "fps", "num_frames", "duration_s", "rotation", "num_bytes"),
    *("file_num_frames", "file_duration_s", "is_variable_fps", "has_audio"),
)


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Fills ``info`` and ``content_id``; drops clips whose file cannot be read, or should not be.

    ``num_frames`` and ``duration_s`` are the clip's own; ``file_num_frames`` and ``file_duration_s`` are the
    whole file's, and differ where the clip is a part of it.
    """

    name: ClassVar[str] = "probe"
    after: ClassVar[tuple[str, ...]] = ()
    version: ClassVar[int] = 2
    needs_gpu: ClassVar[bool] = False
    gives: ClassVar[Gives] = Gives(numbers=_NUMBERS)

    max_frame_px: int = 2**25
    """Pixels of a frame; a little over 8K (7680x4320). A few whole frames are held in memory at once."""
    max_frames: int = 10_000_000
    """Frames of a file; 46 hours at 60 a second."""

    def __post_init__(self) -> None:
        if self.max_frame_px < 1 or self.max_frames < 1:
            raise ValueError(
                f"max_frame_px={self.max_frame_px} and max_frames={self.max_frames} must be at least 1"
            )

    def process(self, clip: Clip) -> list[Clip]:
        """The clip with its ``info``, or dropped with the reason."""
        media = clip.frames()
        try:
            self._weigh(media)
            clip = clip.with_info(**_info(media), sha256=cached_sha256_of(media.path)).measured()
            _check_times(clip)
        except ValueError as error:
            reason = str(error).removeprefix(f"{media.path}: ")
            return [clip.with_error(self.name, reason).drop(self.name, reason)]
        return [clip.identified()]

    def _weigh(self, media: ClipMedia) -> None:
        """Refuse what the header claims, or a claim that the bytes cannot hold."""
        stated, num_bytes = stated_size(media.path), media.path.stat().st_size
        if stated.width * stated.height > self.max_frame_px:
            raise ValueError(
                f"its frames of {stated.width}x{stated.height} are more than max_frame_px="
                f"{self.max_frame_px}: scale the file down, or allow more"
            )
        if stated.num_frames > min(self.max_frames, max(num_bytes, 1)):
            raise ValueError(
                f"its header claims {stated.num_frames} frames in {num_bytes} bytes; at most one a byte and "
                f"max_frames={self.max_frames} are believed"
            )


def _info(media: ClipMedia) -> dict[str, Value]:
    told = describe(media.timeline)
    return {
        "width": told.width,
        "height": told.height,
        "fps": float(told.fps),
        "file_num_frames": told.num_frames,
        "file_duration_s": told.duration_s,
        "codec": told.codec,
        "pixel_format": told.pixel_format,
        "rotation": told.rotation,
        "is_variable_fps": told.is_variable_fps,
        "has_audio": told.has_audio,
        "num_bytes": media.path.stat().st_size,
    }


def _check_times(clip: Clip) -> None:
    if not clip.info["num_frames"]:
        until, lasts = "the end" if clip.end_s is None else f"{clip.end_s} s", clip.info["file_duration_s"]
        raise ValueError(f"no frame between {clip.start_s} s and {until}: the file lasts {lasts} s")

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torch import Tensor


@pytest.fixture
def moving_frames() -> Callable[..., Tensor]:
    """Smooth frames that all differ: a gradient that drifts, with a block whose grey level is the number."""

    def make(num_frames: int = 16, height: int = 48, width: int = 64) -> Tensor:
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        frames = []
        for i in range(num_frames):
            red, green = (x * 2 + i * 3) % 256, (y * 3 + i * 2) % 256
            frame = torch.stack([red, green, (x + y + i) % 256])
            frame[:, 8:24, 8:24] = 16 + i * 5 % 224
            frames.append(frame)
        return torch.stack(frames).to(torch.uint8)

    return make


@pytest.fixture
def encode(tmp_path: Path, moving_frames: Callable[..., Tensor]) -> Callable[..., Path]:
    """Write a file with PyAV alone, so that reading is not tested by our own writer."""

    def write(
        name: str,
        codec: str,
        *,
        pixel_format: str = "yuv420p",
        num_frames: int = 40,
        height: int = 48,
        width: int = 64,
        options: dict[str, str] | None = None,
        pts_ms: list[int] | None = None,
        rate: Fraction = Fraction(24),
        rotation: float | None = None,
        mirrored: bool = False,
        sound: bool = False,
        container_options: dict[str, str] | None = None,
    ) -> Path:
        path = tmp_path / name
        time_base = 1 / rate if pts_ms is None else Fraction(1, 1000)
        with av.open(str(path), "w", container_options=container_options or {}) as container:
            stream = container.add_stream(codec, rate=rate, options=options or {})
            stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
            stream.codec_context.time_base = time_base
            stream.codec_context.thread_count = 1
            if rotation is not None:
                stream.set_display_rotation(rotation, hflip=mirrored)
            audio = container.add_stream("aac", rate=16000) if sound else None
            for i, picture in enumerate(moving_frames(num_frames, height, width)):
                rgb = np.ascontiguousarray(picture.permute(1, 2, 0).numpy())
                frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=pixel_format)
                frame.pts, frame.time_base = (i if pts_ms is None else pts_ms[i]), time_base
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
            if audio is not None:
                write_silence(container, audio)
        return path

    return write


@pytest.fixture
def silent_file(tmp_path: Path) -> Callable[[str, str], Path]:
    """A file that holds sound and no picture."""

    def write(name: str, codec: str) -> Path:
        with av.open(str(tmp_path / name), "w") as container:
            write_silence(container, container.add_stream(codec, rate=16000))
        return tmp_path / name

    return write


def write_silence(container: av.container.OutputContainer, stream: av.AudioStream) -> None:
    for i in range(16):
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.int16), format="s16", layout="mono")
        samples.sample_rate, samples.pts = 16000, i * 1024
        container.mux(stream.encode(samples))
    container.mux(stream.encode())


@pytest.fixture
def decode_all() -> Callable[[Path], np.ndarray]:
    """Every frame from first to last with PyAV alone: what exact seeking is held against."""

    def read(path: Path) -> np.ndarray:
        with av.open(str(path)) as container:
            return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])

    return read

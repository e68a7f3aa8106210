"""Hard input that nobody here drew: FFmpeg's own generators in the containers and codecs of the world, by
PyAV alone. What this FFmpeg has no generator for is drawn; what it has no encoder for is left out.

    for case in CASES:
        if can_write(case):
            path = write_case(case, folder)
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import av.filter
import cv2
import numpy as np

from tests.data.drawings import faded

GENERATORS: dict[str, str] = {
    "testsrc2": "testsrc2=size={width}x{height}:rate={fps}",
    "mandelbrot": "mandelbrot=size={width}x{height}:rate={fps}:start_scale=0.5",
    "life": "life=size=32x20:rate={fps}:seed=3:mold=10:life_color=#C83232:death_color=#3232C8,"
    "scale={life_width}:{life_height}:flags=neighbor,crop={width}:{height}:0:0",
    "gradients": "gradients=size={width}x{height}:rate={fps}:seed=5:speed=0.05:nb_colors=3:"
    "c0=0xD9C282:c1=0xA30FEB:c2=0x82D9D7:x0=138:y0=13:x1=157:y1=24",  # its seed alone does not fix them
    "smptebars": "smptebars=size={width}x{height}:rate={fps}",
}
"""Graphs of libavfilter; cells of ``life`` lie off the coding grid."""


@dataclass(frozen=True)
class Case:
    """One file to write."""

    name: str
    """With the suffix that chooses the container."""
    source: str
    """One of ``GENERATORS``, or ``edited``: two of them with a cut, a fade and burnt-in text."""
    codec: str = "libx264"
    pixel_format: str = "yuv420p"
    options: dict[str, str] = field(default_factory=dict)
    sound: str | None = None
    rotation: float | None = None
    is_variable: bool = False
    fps: Fraction = Fraction(24)


_X265 = {"x265-params": "log-level=none:pools=none:frame-threads=1", "preset": "ultrafast"}
_VP9 = {"deadline": "realtime", "cpu-used": "8", "crf": "34", "b:v": "0"}
CASES = (
    Case("h264.mp4", "testsrc2", sound="aac"),
    Case("h264.mkv", "mandelbrot"),
    Case("h264_low.mp4", "edited", options={"crf": "45"}, sound="aac"),
    Case("h264_10bit.mkv", "gradients", pixel_format="yuv420p10le"),
    Case("h264_444.mp4", "smptebars", pixel_format="yuv444p"),
    Case("h264_interlaced.mkv", "testsrc2", options={"flags": "+ildct+ilme", "x264-params": "tff=1"}),
    Case("h264_variable.mkv", "edited", is_variable=True),
    Case("h264_rotated.mp4", "testsrc2", rotation=90.0),
    Case("h264_ntsc.mp4", "life", fps=Fraction(30000, 1001), sound="aac"),
    Case("hevc.mp4", "testsrc2", codec="libx265", options=_X265),
    Case("hevc_10bit.mkv", "mandelbrot", codec="libx265", pixel_format="yuv420p10le", options=_X265),
    Case("vp9.webm", "edited", codec="libvpx-vp9", options=_VP9, sound="libopus"),
    Case("vp9.mkv", "smptebars", codec="libvpx-vp9", options=_VP9),
    Case("mpeg4.avi", "testsrc2", codec="mpeg4", options={"bf": "2"}, sound="mp3"),
    Case("mpeg4.mp4", "life", codec="mpeg4"),
)


def can_write(case: Case) -> bool:
    """Whether this FFmpeg has the encoders."""
    return all(name is None or _has_encoder(name) for name in (case.codec, case.sound))


def _has_encoder(name: str) -> bool:
    try:
        av.Codec(name, "w")
    except ValueError:
        return False
    return True


def generated(
    source: str, num_frames: int, *, height: int = 96, width: int = 160, fps: Fraction | int = 24
) -> np.ndarray:
    """Frames of a generator, RGB uint8 ``f h w 3``; drawn where this FFmpeg lacks one of its filters."""
    if source == "edited":
        return edited(num_frames, height=height, width=width)
    text = GENERATORS[source].format(
        width=width,
        height=height,
        fps=Fraction(fps),
        life_width=32 * (width // 32 + 1),
        life_height=20 * (height // 20 + 1),
    )
    if any(step.partition("=")[0] not in av.filter.filters_available for step in text.split(",")):
        return _drawn(num_frames, height, width)
    return pictures_of(text, num_frames)


def pictures_of(text: str, num_frames: int) -> np.ndarray:
    """Frames that a chain of libavfilter's filters gives, RGB uint8 ``f h w 3``."""
    steps = [step.partition("=") for step in text.split(",")]
    graph = av.filter.Graph()
    filters = [graph.add(name, arguments) for name, _, arguments in steps] + [graph.add("buffersink")]
    for first, second in itertools.pairwise(filters):
        first.link_to(second)
    graph.configure()
    pictures = (filters[-1].pull() for _ in range(num_frames))
    return np.stack([picture.reformat(format="rgb24").to_ndarray() for picture in pictures])


def edited(num_frames: int, *, height: int = 96, width: int = 160) -> np.ndarray:
    """Two generators with a dissolve, a cut back, text over the last third, and a fade to black."""
    first = generated("testsrc2", num_frames, height=height, width=width)
    second = generated("mandelbrot", num_frames, height=height, width=width)
    third = num_frames // 3
    frames, size = first.copy(), max(2, num_frames // 8)
    frames[third : 2 * third] = second[third : 2 * third]
    frames[third : third + size] = faded(
        first[third : third + size], second[third : third + size], "dissolve"
    )
    for frame in frames[2 * third :]:
        cv2.putText(
            frame, "RUFOUS", (8, height - 12), cv2.FONT_HERSHEY_SIMPLEX, height / 96, (255, 255, 255), 2
        )
    frames[-size:] = faded(frames[-size:], np.zeros_like(frames[-size:]), "dissolve")
    return frames


def _drawn(num_frames: int, height: int, width: int) -> np.ndarray:
    """Rings and bars that drift."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    frames = []
    for i in range(num_frames):
        rings = 127 + 120 * np.sin(np.hypot(x - width / 2 - i, y - height / 2) / 5)
        bars = ((x + 3 * i) // 20 % 2) * 200
        frames.append(np.stack([rings, bars, (x + y + 2 * i) % 256], axis=-1))
    return np.stack(frames).astype(np.uint8)


def write_case(case: Case, folder: Path, *, num_frames: int = 30, height: int = 96, width: int = 160) -> Path:
    """The file of a case, about a second long."""
    path = folder / case.name
    frames = generated(case.source, num_frames, height=height, width=width, fps=case.fps)
    steps = np.tile([30, 30, 80, 15, 45], num_frames)  # milliseconds between frames
    times = np.concatenate([[0], np.cumsum(steps)]) if case.is_variable else np.arange(num_frames)
    time_base = Fraction(1, 1000) if case.is_variable else 1 / case.fps
    with av.open(str(path), "w") as container:
        stream = container.add_stream(case.codec, rate=case.fps, options=case.options)
        stream.height, stream.width, stream.pix_fmt = height, width, case.pixel_format
        stream.codec_context.time_base, stream.codec_context.thread_count = time_base, 1
        if case.rotation is not None:
            stream.set_display_rotation(case.rotation)
        audio = None if case.sound is None else container.add_stream(case.sound, rate=48000, layout="mono")
        for picture, time in zip(frames, times, strict=False):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=case.pixel_format)
            frame.pts, frame.time_base = int(time), time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if audio is not None:
            _write_tone(container, audio, seconds=num_frames / float(case.fps))
    return path


def _write_tone(container: av.container.OutputContainer, stream: av.AudioStream, *, seconds: float) -> None:
    wave = (8000 * np.sin(np.arange(round(48000 * seconds)) * 0.06)).astype(np.int16)[None]
    fit: Callable = av.AudioResampler(format=stream.format, layout="mono", rate=48000).resample
    fifo = av.AudioFifo()
    sound = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
    sound.sample_rate, sound.pts = 48000, 0
    for frame in fit(sound):
        fifo.write(frame)
    size = stream.codec_context.frame_size or 1024
    while frame := (fifo.read(size) or fifo.read(0, partial=True)):
        container.mux(stream.encode(frame))
    container.mux(stream.encode())

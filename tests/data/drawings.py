"""Moving pictures to test curation on: textures and noise that drift, zoom or boil, world clips, and shots
joined by cuts and fades whose places are known. All arrays are RGB uint8 ``f h w 3``."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from rufous.data import media
from rufous.data.clip import Clip
from rufous.video.read import Timeline
from rufous.video.seek import FrameIndex
from rufous.world.dataset import WorldClips

FADES = ("dissolve", "black", "white")


@dataclass(frozen=True)
class Join:
    """How one shot becomes the next: frames ``start`` to ``end`` (excluded) show neither alone."""

    start: int
    end: int
    kind: str
    """``cut``, or one of ``FADES``."""


def noise_picture(rng: np.random.Generator, height: int, width: int, *, roughness: float) -> np.ndarray:
    """Colourful noise whose power falls with frequency; more roughness, more detail."""
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    frequency = np.maximum(np.hypot(rows, columns), 1 / max(height, width))
    layers = []
    for _ in range(3):
        phase = rng.uniform(0, 2 * np.pi, frequency.shape)
        layer = np.fft.irfft2(np.exp(1j * phase) * frequency ** (roughness - 2.5), s=(height, width))
        layers.append(layer / layer.std())
    mixed = np.stack(layers, axis=-1) @ (np.eye(3) * 0.4 + 0.6 * rng.uniform(0, 1, (3, 3)))
    mixed = mixed / mixed.std() * rng.uniform(25, 60) + rng.uniform(60, 195, 3)
    return np.clip(mixed, 0, 255).astype(np.uint8)


def pattern_picture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Sharp-edged shapes over stripes, as a drawing has."""
    picture = np.empty((height, width, 3), np.uint8)
    first, second = rng.integers(0, 256, (2, 3))
    y, x = np.mgrid[:height, :width]
    angle, period = rng.uniform(0, np.pi), rng.uniform(0.1, 0.5) * height
    stripes = ((x * np.cos(angle) + y * np.sin(angle)) // period) % 2 == 0
    picture[stripes], picture[~stripes] = first, second
    for _ in range(rng.integers(4, 14)):
        centre = int(rng.integers(0, width)), int(rng.integers(0, height))
        size = int(rng.uniform(0.04, 0.22) * height)
        colour = tuple(int(each) for each in rng.integers(0, 256, 3))
        if rng.random() < 0.5:
            cv2.circle(picture, centre, size, colour, -1, cv2.LINE_AA)
        else:
            corner = centre[0] + size, centre[1] + 2 * size
            cv2.rectangle(picture, centre, corner, colour, -1, cv2.LINE_AA)
    return picture


def camera_over(
    rng: np.random.Generator, picture: np.ndarray, num_frames: int, height: int, width: int, *, speed: float
) -> np.ndarray:
    """A camera that pans, zooms and rolls over a picture that repeats without end."""
    angle = rng.uniform(0, 2 * np.pi)
    step = speed * np.array([np.cos(angle), np.sin(angle)])
    zoom, roll = 1 + 0.004 * speed * rng.uniform(-1, 1), 0.004 * speed * rng.uniform(-1, 1)
    frames = []
    for i in range(num_frames):
        scale, turn = zoom**i, roll * i
        matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        centre = np.array([width, height]) / 2
        place = np.array(picture.shape[1::-1]) / 2 + step * i - matrix @ centre
        affine = np.hstack([matrix, place[:, None]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        frames.append(
            cv2.warpAffine(picture, affine, (width, height), flags=flags, borderMode=cv2.BORDER_WRAP)
        )
    return np.stack(frames)


def boiling(rng: np.random.Generator, num_frames: int, height: int, width: int) -> np.ndarray:
    """Two noise pictures that drift through each other, so that nothing moves as one."""
    pictures = [noise_picture(rng, 2 * height, 2 * width, roughness=rng.uniform(0, 0.6)) for _ in range(2)]
    first, second = (
        camera_over(rng, p, num_frames, height, width, speed=rng.uniform(0.3, 1.5)) for p in pictures
    )
    return (first // 2) + (second // 2)


def world_shot(rng: np.random.Generator, num_frames: int, height: int, width: int) -> np.ndarray:
    """A clip of the world at 24 frames a second."""
    seed = int(rng.integers(1 << 30))
    level = "full" if rng.random() < 0.5 else "core"
    clips = WorldClips(seed=seed, level=level, num_frames=num_frames, height=height, width=width, fps=24.0)
    return clips[0].frames.permute(0, 2, 3, 1).numpy()


def shot(rng: np.random.Generator, num_frames: int, height: int = 96, width: int = 160) -> np.ndarray:
    """One shot of a kind drawn by ``rng``."""
    kind = rng.integers(4)
    if kind == 0:
        return world_shot(rng, num_frames, height, width)
    if kind == 1:
        return boiling(rng, num_frames, height, width)
    size = (2 * height, 2 * width)
    picture = (
        pattern_picture(rng, *size) if kind == 2 else noise_picture(rng, *size, roughness=rng.uniform(0, 1))
    )
    return camera_over(rng, picture, num_frames, height, width, speed=rng.uniform(0, 2.5))


def joined(
    rng: np.random.Generator,
    *,
    num_shots: int = 4,
    fps: int = 24,
    height: int = 96,
    width: int = 160,
    draw: Callable[..., np.ndarray] = shot,
) -> tuple[np.ndarray, list[Join]]:
    """Shots of 1.2 to 2.5 s, joined by cuts or by fades of 0.2 to 1 s, as often the one as the other."""
    lengths = rng.integers(round(1.2 * fps), round(2.5 * fps), num_shots)
    frames = draw(rng, int(lengths[0]) + fps, height, width)[: lengths[0]]
    joins = list[Join]()
    for length in lengths[1:]:
        kind = "cut" if rng.random() < 0.5 else str(rng.choice(FADES, p=[0.5, 0.25, 0.25]))
        size = 0 if kind == "cut" else int(rng.integers(round(0.2 * fps), fps + 1))
        coming = draw(rng, int(length) + size, height, width)
        start = len(frames) - size if kind != "cut" else len(frames)
        between = faded(frames[start:], coming[:size], kind)
        joins.append(Join(start, start + size, kind))
        frames = np.concatenate([frames[:start], between, coming[size:]])
    return frames, joins


def faded(old: np.ndarray, new: np.ndarray, kind: str) -> np.ndarray:
    """Old turns into new, linearly: directly, or in two halves through black or white."""
    if not len(old):
        return old
    weight = (np.arange(1, len(old) + 1) / (len(old) + 1))[:, None, None, None]
    if kind == "dissolve":
        mixed = old * (1 - weight) + new * weight
    else:
        middle = 0.0 if kind == "black" else 255.0
        mixed = np.where(
            weight <= 0.5, old + (middle - old) * 2 * weight, middle + (new - middle) * (2 * weight - 1)
        )
    return mixed.round().astype(np.uint8)


def write(
    path: Path,
    frames: np.ndarray,
    *,
    fps: Fraction | int = 24,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    times_s: Sequence[float] | None = None,
) -> Path:
    """Encode frames with PyAV alone, at crf 20 where nothing else is said; at ``times_s`` if given."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            codec, rate=fps, options={"crf": "20", "preset": "veryfast"} if options is None else options
        )
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        stream.codec_context.thread_count = 1
        if times_s is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for i, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            if times_s is not None:
                frame.pts, frame.time_base = round(1000 * times_s[i]), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def slow_then_fast(path: Path, frames: np.ndarray) -> Path:
    """12 frames at 5 a second, and the others at 60: 44 on average."""
    times = np.concatenate([np.arange(12) / 5, 2.4 + np.arange(len(frames) - 12) / 60])
    return write(path, frames, times_s=times)


def spoilt(path: Path, packet: int) -> Path:
    """A copy of a film that has noise in the second half of a packet, counted in the order of the file."""
    with av.open(str(path)) as container:
        body = [bytes(each) for each in container.demux(video=0) if each.size][packet]
    data, noise = bytearray(path.read_bytes()), np.random.default_rng(packet)
    start, size = data.index(body) + len(body) // 2, max(4, len(body) // 4)
    data[start : start + size] = noise.bytes(size)
    copy = path.with_name(f"spoilt_{path.name}")
    copy.write_bytes(data)
    return copy


def clip_of(path: Path, **settings: int) -> Clip:
    """A whole file as stages get it."""
    return Clip(source=path.name, media=media.ClipMedia(path, settings=media.MediaSettings(**settings)))


def held(
    frames: np.ndarray,
    *,
    fps: int = 24,
    full: np.ndarray | None = None,
    edges_ms: Sequence[int] | None = None,
) -> Clip:
    """A clip of frames in memory, as stages get it; no file is behind it.

    ``edges_ms`` says when each frame begins, and when the last one ends, where the rate varies.
    """
    path, count = Path("drawn.mp4"), len(frames)
    edges, unit = (range(count + 1), Fraction(1, fps)) if edges_ms is None else (edges_ms, Fraction(1, 1000))
    index = FrameIndex(pts=list(edges[:-1]), end=edges[-1], time_base=unit)
    clip_media = media.ClipMedia(path, timeline=Timeline(path=path, index=index))
    few = frames[:: -(-len(frames) // 8)] if full is None else full
    times = np.asarray(edges[:-1]) * float(unit)
    clip_media.__dict__["decoded"] = media.Decoded(
        small=frames, small_times_s=times, full=few, full_times_s=times[: len(few)], stride=1
    )
    return Clip(source=path.name, media=clip_media)

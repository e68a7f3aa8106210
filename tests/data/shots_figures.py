"""The pictures of docs/curation_shots.md, with what the stages return of what is shown.

python -m tests.data.shots_figures
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from rufous.data.clip import Clip
from rufous.data.stages.borders import Borders
from rufous.data.stages.cut import Cut
from rufous.data.stages.duplicates import Duplicates
from rufous.data.stages.fingerprint import Fingerprint
from rufous.data.stages.flashing import Flashing
from rufous.data.stages.probe import Probe
from rufous.data.stages.shots import Shots
from rufous.data.stages.still import Still
from rufous.data.stages.technical import Technical
from tests.data.drawings import (
    camera_over,
    clip_of,
    faded,
    held,
    noise_picture,
    pattern_picture,
    world_shot,
    write,
)
from tests.data.real_input import generated
from tests.data.sheets import GREEN, GREY, LINE, PALE, RED, Sheet, save

FPS = 24


def film() -> np.ndarray:
    """Six shots: a cut, a dissolve of 0.6 s, two cuts around half a second, and a fade through black."""
    rng = np.random.default_rng(8)
    frames = world_shot(rng, 46, 96, 160)
    joins = ((0, "cut", 44), (14, "dissolve", 44), (0, "cut", 13), (0, "cut", 60), (20, "black", 40))
    for number, (size, kind, length) in enumerate(joins):
        picture = (
            pattern_picture(rng, 192, 320) if number % 2 else noise_picture(rng, 192, 320, roughness=0.5)
        )
        coming = camera_over(rng, picture, length + size, 96, 160, speed=1.0)
        between = faded(frames[len(frames) - size :], coming[:size], kind)
        frames = np.concatenate([frames[: len(frames) - size], between, coming[size:]])
    return frames


def shots(folder: Path) -> None:
    """A film, its change from frame to frame, and the clips that it becomes."""
    frames = film()
    clip = clip_of(write(folder / "film.mp4", frames, fps=FPS))
    found = Shots().process(clip)
    steps = [0.0, *np.abs(np.diff(clip.frames().small.astype(int), axis=0)).mean(axis=(1, 2, 3)).tolist()]
    left, width, seconds = 8, 1040, len(frames) / FPS
    sheet = Sheet(width + 16, 300)

    def place(time_s: float) -> float:
        return left + width * time_s / seconds

    for number in range(13):
        shown = int((number + 0.5) * len(frames) / 13)
        sheet.picture(frames[shown], left + number * width / 13, 8, width // 13 - 2)
    sheet.words("mean difference of a frame from the one before, of 255 levels", left, 62, color=GREY)
    for each in found:
        begin, end = place(each.start_s), place(seconds if each.end_s is None else each.end_s)
        color = GREY if each.dropped else GREEN
        sheet.pen.rectangle((begin, 82, end - 1, 180), fill="#f0f0f0" if each.dropped else PALE)
        sheet.pen.rectangle((begin + 1, 184, end - 2, 194), fill=color)
    sheet.curve(steps, (left, 84, left + width, 178), top=70.0)
    dropped = next(each for each in found if each.dropped)
    for each in found:
        end_s = seconds if each.end_s is None else each.end_s
        if each.dropped:
            sheet.words("dropped", place(each.start_s), 200, color=GREY)
            continue
        (written,) = Cut(folder=str(folder / "out")).process(each)
        told = f"{each.start_s:.2f} to {end_s:.2f} s\nbegins: {each.tags['shots_begin']}"
        told += f"\nends: {each.tags['shots_end']}\ncut: {written.tags['cut']}"
        sheet.words(told, place(each.start_s), 200)
    sheet.words(
        f"white: left out as part of a dissolve or fade; grey: dropped, {dropped.dropped}",
        left,
        276,
        color=GREY,
    )
    sheet.save("curation-shots.png")


def copies(folder: Path) -> None:
    """A clip, copies of it and others, with their distances."""
    rng = np.random.default_rng(4)
    frames, other = world_shot(rng, 36, 180, 320), world_shot(rng, 36, 180, 320)
    half = np.stack([cv2.resize(each, (160, 90), interpolation=cv2.INTER_AREA) for each in frames])
    hard = {"crf": "40", "preset": "veryfast"}
    files = {
        "the original, crf 20": write(folder / "original.mp4", frames),
        "re-encoded at crf 40": write(folder / "hard.mp4", frames, options=hard),
        "scaled to a half": write(folder / "half.mp4", half),
        "cropped by 5 %": write(folder / "cropped.mp4", frames[:, 4:176, 0:304]),
        "mirrored": write(folder / "mirrored.mp4", np.ascontiguousarray(frames[:, :, ::-1])),
        "another clip": write(folder / "other.mp4", other),
    }
    clips = []
    for path in files.values():
        (clip,) = Probe().process(clip_of(path))
        for stage in (Technical(), Fingerprint()):
            (clip,) = stage.process(clip)
        clips.append(clip)
    judged, panels = Duplicates().process_all(clips), []
    for name, clip, verdict in zip(files, clips, judged, strict=True):
        ruler = Duplicates(
            max_distance=9.0, drop=False
        )  # tells the distance of clips that are no copies, too
        distance = max(each.scores["duplicates_distance"] for each in ruler.process_all([clips[0], clip]))
        told = "kept" if verdict.dropped is None else "dropped"
        far = "" if clip is clips[0] else f"distance {distance:.2f}, "
        panels.append((clip.frames().full[4], f"{name}\n{far}{verdict.tags['duplicates']}: {told}"))
    save("curation-copies.png", panels, width=300, colors=256)


def borders() -> None:
    """Frames with the rectangle that was found."""
    rng = np.random.default_rng(11)
    scene = camera_over(rng, pattern_picture(rng, 360, 640), 8, 180, 320, speed=1.0)
    scene = np.clip(scene.astype(int) + 40, 0, 255).astype(np.uint8)
    boxed, both, night = np.zeros_like(scene), np.zeros_like(scene), scene.copy()
    boxed[:, 24:156] = scene[:, 24:156]
    both[:, 16:164, 40:280] = scene[:, 16:164, 40:280]
    y, x = np.mgrid[:180, :320]
    night[:, y < 90 + 30 * np.sin(x / 40)] = 6  # hills before a dark sky
    night[:, 30:36, 220:226] = 220
    panels = []
    for frames in (boxed, both, night):
        (clip,) = Borders().process(held(frames, full=frames))
        x, y, width, height = (int(clip.info[f"content_{name}"]) for name in ("x", "y", "width", "height"))
        drawn = frames[0].copy()
        cv2.rectangle(drawn, (x + 1, y + 1), (x + width - 2, y + height - 2), (255, 40, 40), 2)
        panels.append((drawn, f"{clip.tags['borders']}: {clip.scores['borders']:.1%} of the frame"))
    save("curation-borders.png", panels, width=320)


def standing() -> None:
    """Strips of clips that move, stand, repeat frames and flash."""
    rng = np.random.default_rng(2)
    moving = camera_over(rng, pattern_picture(rng, 192, 320), 48, 96, 160, speed=2.0)
    frozen = np.concatenate([moving[:16], np.repeat(moving[15:16], 32, axis=0)])

    def lit(per_s: int) -> np.ndarray:
        is_on = (np.arange(48) * 2 * per_s // FPS % 2)[:, None, None, None]
        return np.clip(moving * 0.45 + 110 * is_on, 0, 255).astype(np.uint8)

    rows = {
        "a camera that pans": moving,
        "frozen after 0.7 s": frozen,
        "every frame shown three times": np.repeat(moving[::3], 3, axis=0),
        "a lamp, twice a second": lit(2),
        "a lamp, six times a second": lit(6),
    }
    sheet = Sheet(1064, len(rows) * 84 + 28)
    for number, (name, frames) in enumerate(rows.items()):
        clip, top = held(frames, fps=FPS), 6 + number * 84
        for stage in (Still(), Flashing()):
            (clip,) = stage.process(clip)
        scores = clip.scores
        for column in range(12):
            sheet.picture(frames[2 * column], 8 + column * 68, top + 6, 66)
        sheet.curve(
            clip.frames().gray[:24].mean(axis=(1, 2)).tolist(), (8, top + 46, 822, top + 76), top=255.0
        )
        sheet.words(name, 832, top + 4)
        bad = scores["still"] > 0.5
        told = f"still {scores['still']:.2f}, longest {scores['still_longest_s']:.2f} s"
        sheet.words(told, 832, top + 4 + LINE, color=RED if bad else GREEN)
        told = f"flashing {scores['flashing']:.1f} a second"
        sheet.words(told, 832, top + 4 + 2 * LINE, color=RED if scores["flashing"] > 3 else GREEN)
    limits = "curves: mean brightness over the first second; red: more than the preset hummingbird keeps"
    sheet.words(limits, 8, len(rows) * 84 + 6, color=GREY)
    sheet.save("curation-still.png", colors=128)


def technical(folder: Path) -> None:
    """A clip in grades of blur, noise and compression."""
    rng = np.random.default_rng(0)
    sound = generated("mandelbrot", 8, height=320, width=512)
    sound = generated("testsrc2", 8, height=320, width=512) if len(sound) < 8 else sound

    def blurred(grade: int) -> Clip:
        blur = [cv2.GaussianBlur(each, (0, 0), grade) if grade else each for each in sound]
        return held(sound, fps=FPS, full=np.stack(blur))

    def noisy(grade: int) -> Clip:
        noise = rng.normal(0, grade, sound.shape)
        return held(sound, fps=FPS, full=np.clip(sound + noise, 0, 255).astype(np.uint8))

    def coded(grade: int) -> Clip:
        options = {"crf": str(grade), "preset": "veryfast"}
        return clip_of(write(folder / f"{grade}.mp4", sound, options=options))

    rows: tuple[tuple[str, str, tuple[int, ...], Callable[[int], Clip], str], ...] = (
        ("blur of", " px", (0, 1, 2, 4), blurred, "sharpness"),
        ("noise of", " levels", (0, 5, 10, 20), noisy, "noise"),
        ("crf", "", (18, 30, 40, 50), coded, "quantizer"),
    )
    panels = []
    for name, unit, grades, make, part in rows:
        for grade in grades:
            (clip,) = Technical().process(make(grade))
            told = {each.removeprefix("technical_"): score for each, score in clip.scores.items()}
            words = f"{name} {grade}{unit}: technical {told['technical']:.2f}"
            words += f"\n{part} {told[part]:.1f}, edge width {told['edge_width']:.1f}"
            panels.append((clip.frames().full[4][90:230, 130:350], words))
    save("curation-technical.png", panels, columns=4, width=220, colors=64)


def main() -> None:
    """All pictures."""
    with tempfile.TemporaryDirectory() as folder:
        shots(Path(folder))
        copies(Path(folder))
        technical(Path(folder))
    borders()
    standing()


if __name__ == "__main__":
    main()

"""The figures and the pictures of docs/curation_motion.md.

python -m tests.data.motion_figures camera|text|speed|pictures [--rounds N]
"""

import argparse
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace

import cv2
import numpy as np

from rufous.data.clip import Clip
from rufous.data.pair_flow import pair_flow
from rufous.data.stages.camera import Camera
from rufous.data.stages.flow import Flow
from rufous.data.stages.smoothness import Smoothness, guesses
from rufous.data.stages.text_area import TextArea, strokes
from rufous.data.stages.watermark import Watermark, standing
from tests.data.camera_clips import (
    CameraClip,
    dolly_zoom,
    drawn,
    known_cameras,
    media_of,
    warped_camera,
    without_background,
    world_camera,
    world_scene,
)
from tests.data.sheets import save
from tests.data.text_clips import TextPicture, logo_clip, text_picture


def camera(rounds: int) -> None:
    """Twenty clips a round with known camera, then two a round whose background tells nothing."""
    right, total, answers = Counter[str](), Counter[str](), Counter[str]()
    for clip, told in camera_answers(rounds):
        total[clip.tag] += 1
        right[clip.tag] += told == clip.tag
        if told != clip.tag:
            print(f"{clip.tag} ({clip.kind}) taken for {told}", flush=True)
    for tag in sorted(total):
        print(f"| {tag} | {right[tag]} of {total[tag]} |")
    print(f"| all | {sum(right.values())} of {sum(total.values())} |")
    for index in range(300, 300 + 2 * rounds):
        clip = without_background(index)
        answers[f"{clip.kind}: {camera_of(clip)}"] += 1
    for answer in sorted(answers):
        print(f"| {answer} | {answers[answer]} |")


def camera_answers(rounds: int, *, first: int = 300) -> Iterator[tuple[CameraClip, str]]:
    """Clips whose camera is known, and what the stage says."""
    for clip in known_cameras(rounds, first=first):
        yield clip, camera_of(clip)


def camera_of(clip: CameraClip) -> str:
    """The stage's tag of a clip."""
    (tagged,) = Camera().process(Clip(source="drawn.mp4", media=media_of(clip.frames, clip.fps)))
    return tagged.tags["camera_motion"]


def text(num_pictures: int) -> None:
    """Whether text takes over 2 % of a picture, and what the check before the network spares and misses."""
    stage, right, sides, spared, missed = TextArea(), 0, Counter[bool](), 0, 0
    started = time.process_time()
    for index, (picture, share) in enumerate(text_answers(range(num_pictures))):
        is_over = picture.area >= 0.02
        sides[is_over] += 1
        right += (share >= 0.02) == is_over
        is_spared = strokes(picture.frame) < stage.min_strokes
        spared, missed = spared + is_spared, missed + (is_spared and is_over)
        if (share >= 0.02) != is_over:
            print(f"{index} ({picture.kind}): {picture.area:.2%} taken for {share:.2%}", flush=True)
    seconds = (time.process_time() - started) / num_pictures
    print(f"right {right} of {num_pictures}: {sides[True]} over 2 %, {sides[False]} under")
    print(f"spared the network {spared}, of them over 2 % {missed}; {seconds:.2f} s of CPU time a picture")


def text_answers(indices: Iterable[int]) -> Iterator[tuple[TextPicture, float]]:
    """Pictures whose share of text is known, and what the stage says."""
    stage = TextArea()
    for index in indices:
        picture = text_picture(index)
        yield picture, stage.share(picture.frame)


def speed(repeats: int) -> None:
    """CPU time of flow, smoothness and camera for 96 frames of 180x288, and of the watermark."""
    cv2.setNumThreads(1)
    clips = {
        "zoom in, thing moves": ("zoom in", True),
        "pan left": ("pan left", False),
        "static": ("static", True),
    }
    for name, (way, moving) in clips.items():
        scene = replace(world_scene(100, moving=moving), camera=way, camera_speed=0.12)
        frames = drawn(scene, height=180, width=288, num_frames=96, fps=24.0)
        spent: dict[str, float] = defaultdict(float)
        for _ in range(repeats):
            clip = Clip(source="drawn.mp4", media=media_of(frames, 24.0))
            clip.frames().gray  # noqa: B018  other stages share it
            for stage in (Flow(), Smoothness(), Camera(), Watermark()):
                started = time.process_time()
                stage.process(clip)
                spent[stage.name] += time.process_time() - started
        told = ", ".join(f"{stage} {seconds / repeats:.3f} s" for stage, seconds in spent.items())
        together = sum(spent[stage] for stage in ("flow", "smoothness", "camera")) / repeats
        print(f"{name}: {told}; the first three {together:.3f} s")


def pictures() -> None:
    """One picture of each stage's input and what it makes of it."""
    zoom, pan = dolly_zoom(1), world_camera(3, "pan right", moving=True)
    shift = pair_flow(media_of(zoom.frames, zoom.fps)).flow[5]
    panels = [(zoom.frames[10], "a frame"), (colored(shift), "its flow: colour is the way")]
    save("curation-flow.png", panels, columns=2)

    media = media_of(pan.frames, pan.fps)
    made = next(guesses(media.gray, pair_flow(media)))
    miss = 255 - np.clip(4 * np.abs(made.astype(int) - media.gray[1]), 0, 255).astype(np.uint8)
    rgb = [np.repeat(each[..., None], 3, axis=-1) for each in (media.gray[1], made, miss)]
    save("curation-smoothness.png", list(zip(rgb, ("frame between", "guess", "miss, fourfold"), strict=True)))

    panels.clear()
    for clip in (
        world_camera(4, "pan left", moving=True),
        warped_camera(1, "tilt_up+zoom_out"),
        dolly_zoom(1),
    ):
        panels += [(clip.frames[0], "first"), (clip.frames[-1], f"last: {camera_of(clip)}")]
    save("curation-camera.png", panels, columns=2)

    shown = [text_picture(index) for index in (2, 6, 13, 20)]
    told = [f"{TextArea().share(each.frame):.1%} text, in truth {each.area:.1%}" for each in shown]
    save(
        "curation-text.png", [(each.frame, words) for each, words in zip(shown, told, strict=True)], columns=2
    )

    logo = logo_clip(0)
    share = Watermark().share(media_of(logo).gray)
    marks = np.repeat((255 * (1 - standing(media_of(logo).gray, Watermark())))[..., None], 3, axis=-1)
    panels = [(logo[0], "first"), (logo[-1], "last"), (marks.astype(np.uint8), f"what stands: {share:.2%}")]
    save("curation-watermark.png", panels)


def colored(flow: np.ndarray) -> np.ndarray:
    """Flow as hue (way) and saturation (length); RGB."""
    length, angle = np.hypot(*np.moveaxis(flow, -1, 0)), np.arctan2(flow[..., 1], flow[..., 0])
    hue = (angle / np.pi * 90) % 180
    saturation = np.clip(255 * length / max(float(np.quantile(length, 0.98)), 1e-6), 0, 255)
    hsv = np.stack([hue, saturation, np.full_like(hue, 255)], axis=-1).astype(np.uint8)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("camera", "text", "speed", "pictures"))
    parser.add_argument(
        "--rounds", type=int, help="of 20 clips (25), pictures with text (200) or repeats (3)"
    )
    asked = parser.parse_args()
    if asked.what == "camera":
        camera(asked.rounds or 25)
    elif asked.what == "text":
        text(asked.rounds or 200)
    elif asked.what == "speed":
        speed(asked.rounds or 3)
    else:
        pictures()


if __name__ == "__main__":
    main()

"""The pictures of docs/curation_learned.md: what each model is shown, and what the embedded one answers.

    python -m tests.data.learned_figures

No published weights are needed. Which frames a stage reads is read out of its own code with frames whose grey
level is their number. The answers of the model that describes and rewrites are made up, and the picture says
so; what the stages do with them is theirs.
"""

import tempfile
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from rufous.core.randomness import generator_from
from rufous.data.endpoint import Endpoint
from rufous.data.frame_choice import frames_at, spread_frames
from rufous.data.stages.aesthetic import Aesthetic
from rufous.data.stages.describe import DESCRIBE_PROMPT, Describe
from rufous.data.stages.dover import samples
from rufous.data.stages.rewrite import REWRITE_PROMPT, Rewrite
from rufous.data.stages.video_match import VideoMatch, _networks
from rufous.perception import dover
from rufous.world.dataset import WorldClips
from tests.data.chat_server import chat_server
from tests.data.drawings import clip_of as clip_of_file
from tests.data.drawings import write
from tests.data.real_input import generated
from tests.data.sheets import BLUE, GREEN, GREY, LINE, RED, Sheet
from tests.data.tiny_clips import clip_of, numbered

NUM_FRAMES = 240
CHANGED = {
    0: ("blue star", "green star"),
    1: ("moving down", "moving up"),
    4: ("cyan cross", "cyan circle"),
    6: ("to the right", "to the left"),
}
"""Clips of the world of seed 77, and what is changed of their captions."""


def world_frames(clips: WorldClips, index: int) -> np.ndarray:
    """RGB, uint8, ``f h w 3``."""
    return np.ascontiguousarray(clips[index].frames.permute(0, 2, 3, 1).numpy())


def reads() -> None:
    """Which of 240 frames each stage reads."""
    media = clip_of(numbered(NUM_FRAMES, 2, 2), fps=24.0).frames()
    model, _, stride = _networks(VideoMatch().release, "cpu")
    generator = generator_from(0, "dover", "a picture of the documentation")
    technical = dover.technical_frames(NUM_FRAMES, generator)

    def numbers(frames: Iterable[Any]) -> list[int]:
        return [int(np.asarray(frame).max()) for frame in frames]

    rows = {
        "held at full size": numbers(media.full),
        "aesthetic": numbers(frames_at(media, Aesthetic().points).numpy()),
        "match": numbers(frames_at(media, (0.5,)).numpy()),
        "describe": numbers(spread_frames(media, Describe().num_frames).numpy()),
        "dover, technical": technical,
        "dover, aesthetic": dover.aesthetic_frames(NUM_FRAMES, generator),
        "video_match": numbers(media.small[::stride][: model.config.max_frames]),
    }
    shown = world_frames(
        WorldClips(seed=77, num_frames=NUM_FRAMES, height=96, width=160, fps=24.0, level="full"), 5
    )
    left, width = 136, 880
    sheet = Sheet(left + width + 64, 74 + 26 * len(rows) + 30)
    for frame in media.full:
        index = int(np.asarray(frame).max())
        sheet.picture(shown[index], left + width * index / NUM_FRAMES - 48, 8, 96)
    for row, (name, chosen) in enumerate(rows.items()):
        top = 76 + 26 * row
        sheet.words(name, 8, top, color=GREY if row == 0 else "black")
        sheet.pen.line((left, top + 16, left + width, top + 16), fill="#dddddd")
        for index in chosen:
            x = left + width * index / NUM_FRAMES
            sheet.pen.rectangle((x - 1, top + 2, x + 1, top + 15), fill=GREY if row == 0 else BLUE)
        sheet.words(f"{len(chosen)}", left + width + 16, top)
    sheet.words("frames", left + width + 14, 54, color=GREY)
    end = 80 + 26 * len(rows)
    for second in range(0, 11, 2):
        sheet.words(f"{second} s", left + width * second / 10 - 8, end, color=GREY)
    sheet.save("curation-frames-read.png")


def mosaic(folder: Path) -> None:
    """A frame with the places of the crops, and both things that DOVER sees of it."""
    frames = generated("testsrc2", 80, height=320, width=512)
    clip = clip_of_file(write(folder / "test.mp4", frames))
    mosaics, wholes = samples(clip.frames(), generator_from(0, "dover", "test.mp4"))
    again = generator_from(0, "dover", "test.mp4")
    number = dover.technical_frames(len(frames), again)[0]
    dover.aesthetic_frames(len(frames), again)
    corners = dover.crop_corners(320, 512, dover.TECHNICAL_CLIPS, again)[0].reshape(-1, 2)
    drawn = frames[number].copy()
    for top, left in corners.tolist():
        cv2.rectangle(drawn, (left, top), (left + dover.CROP - 1, top + dover.CROP - 1), (255, 255, 255), 2)
    size = 256
    sheet = Sheet(round(size * 1.6) + 2 * size + 32, size + 34)
    sheet.picture(drawn, 8, 8, round(size * 1.6))
    sheet.words("a frame of 512x320, and the 49 crops of 32x32", 8, size + 12)
    for place, (seen, words) in enumerate(
        ((mosaics[0], "technical: the crops, 224x224"), (wholes[0], "aesthetic: the frame, 224x224"))
    ):
        left = 16 + round(size * 1.6) + place * (size + 8)
        sheet.picture(seen.permute(1, 2, 0).numpy(), left, 8, size)
        sheet.words(words, left, size + 12)
    sheet.save("curation-dover.png", colors=256)


def video_match() -> None:
    """Clips of the world with their own captions, with one thing changed, and with another's."""
    world, stage = WorldClips(seed=77), VideoMatch(device="cpu")
    sheet, left = Sheet(1080, len(CHANGED) * 90 + 30), 480
    for row, (index, (old, new)) in enumerate(CHANGED.items()):
        top, frames, own = 8 + 90 * row, world_frames(world, index), world[index].caption
        for column in range(6):
            sheet.picture(frames[3 * column], 8 + 78 * column, top, 74)
        for line, caption in enumerate((own, own.replace(old, new), world[index + 1].caption)):
            (clip,) = stage.process(clip_of(frames, captions={"original": caption}))
            score = clip.scores["video_match"]
            color = GREEN if score >= 0.7 else RED
            sheet.words(f"{score:.2f}", left, top + 4 + 24 * line, color=color)
            sheet.words(caption, left + 42, top + 4 + 24 * line)
    words = "of each its own caption, the same with one thing changed, another clip's; green: 0.7 or more"
    sheet.words(words, 8, 8 + 90 * len(CHANGED), color=GREY)
    sheet.save("curation-video-match.png", colors=256)


def captions(folder: Path) -> None:
    """A clip described and rewritten by a server whose answers are made up."""
    frames = world_frames(WorldClips(seed=77, height=96, width=160, num_frames=32), 1)
    clip = clip_of(frames, captions={"original": "Big blue star, white wall, HD stock footage"})
    told = [
        "Sure! Here is a blue star.",
        "A big blue star moves down in front of a white wall.",
        "A big blue star and two red dogs move down in front of a white wall.",
        "A big blue star moves down in front of a white wall.",
    ]
    with chat_server(*told) as server:
        endpoint = Endpoint(model="made up", url=server.url, answers=str(folder / "answers.sqlite"))
        for stage in (Describe(endpoint=endpoint), Rewrite(endpoint=endpoint)):
            (clip,) = stage.process(clip)
        asked = [server.texts(number)[-1] for number in range(len(server.asked))]
        given = server.asked[0]["messages"][0]["content"]
    num_pictures = sum(part["type"] == "image_url" for part in given)
    sheet, top = Sheet(1080, 640), 8
    shown = spread_frames(clip.frames(), Describe().num_frames).permute(0, 2, 3, 1).numpy()
    for number, frame in enumerate(shown):
        sheet.picture(frame, 8 + 168 * number, top, 160)
    sheet.words(f"the {num_pictures} frames that describe sends\n\noriginal:", 8 + 168 * 4 + 8, top)
    sheet.words(clip.captions["original"], 8 + 168 * 4 + 8, top + 3 * LINE, color=BLUE)
    top += 108
    rows = [("describe asks", asked[0], GREY), ("made-up answer", told[0], "black")]
    rows += [("describe asks", asked[1], RED), ("made-up answer", told[1], "black")]
    rows += [("becomes described", clip.captions["described"], GREEN)]
    rows += [("rewrite asks", f"{REWRITE_PROMPT}\n{asked[2]}", GREY), ("made-up answer", told[2], "black")]
    rows += [("rewrite asks", asked[3], RED), ("made-up answer", told[3], "black")]
    rows += [("becomes rewritten", f"{clip.captions['rewritten']} (tag: {clip.tags['rewrite']})", GREEN)]
    assert asked[0] == DESCRIBE_PROMPT
    for name, text, color in rows:
        lines = [line for part in text.split("\n") for line in textwrap.wrap(part, 132)]
        sheet.words(name, 8, top)
        sheet.words("\n".join(lines), 150, top, color=color)
        top += LINE * len(lines) + 7
    sheet.image = sheet.image.crop((0, 0, sheet.image.width, top + 4))
    sheet.save("curation-captions.png")


def main() -> None:
    """All pictures."""
    reads()
    video_match()
    with tempfile.TemporaryDirectory() as folder:
        mosaic(Path(folder))
        captions(Path(folder))


if __name__ == "__main__":
    main()

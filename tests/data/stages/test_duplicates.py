import base64
import time

import cv2
import numpy as np
import pytest

from rufous.data.clip import Clip
from rufous.data.stages.duplicates import Duplicates
from rufous.data.stages.fingerprint import Fingerprint, described, from_text
from tests.data.drawings import camera_over, clip_of, noise_picture, pattern_picture, world_shot, write


def drawn(seed: int, num_frames: int = 6) -> np.ndarray:
    rng = np.random.default_rng([5, seed])
    picture = pattern_picture(rng, 192, 320) if seed % 2 else noise_picture(rng, 192, 320, roughness=0.8)
    return camera_over(rng, picture, num_frames, 96, 160, speed=1.5)


CLEAR = (0, 1, 2, 4, 5, 6, 7, 8)
"""Seeds of ``drawn``; of 3, a corner crop lies a little too far off, as two of a hundred do."""


def coded(frames: np.ndarray, quality: int) -> np.ndarray:
    option = [cv2.IMWRITE_JPEG_QUALITY, quality]
    return np.stack([cv2.imdecode(cv2.imencode(".jpg", frame, option)[1], 1) for frame in frames])


def scaled(frames: np.ndarray, height: int, width: int) -> np.ndarray:
    return np.stack([cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in frames])


def look(frames: np.ndarray) -> np.ndarray:
    return described(list(frames))


def clip(name: str, frames: np.ndarray, *, width: int = 160, **fields: object) -> Clip:
    tags = {"fingerprint": _text(look(frames))}
    return Clip(source=name, info={"width": width, "height": width // 2}, tags=tags, **fields)


def _text(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode()


COPIES = {
    "coded": lambda frames: coded(frames, 12),
    "scaled": lambda frames: coded(scaled(frames, 48, 80), 40),
    "stretched": lambda frames: scaled(frames, 96, 128),
    "cropped": lambda frames: coded(frames[:, 2:94, 4:156], 40),
    "corner": lambda frames: coded(frames[:, 4:, 8:], 40),
}


@pytest.mark.parametrize("kind", COPIES)
def test_copies_are_found_and_point_to_the_larger_clip(kind):
    originals = [clip(f"{i}.mp4", drawn(i), width=320) for i in CLEAR]
    copies = [clip(f"copy{i}.mp4", COPIES[kind](drawn(i))) for i in CLEAR]
    marked = Duplicates().process_all([*copies, *originals])
    assert [each.source for each in marked] == [each.source for each in (*copies, *originals)]
    assert [each.scores["duplicates"] for each in marked] == [1.0] * 8 + [0.0] * 8
    assert [each.info["duplicates_of"] for each in marked[:8]] == [f"{i}.mp4 at 0 s" for i in CLEAR]
    assert marked[0].dropped == "duplicates: a copy of 0.mp4 at 0 s"
    assert {each.tags["duplicates"] for each in marked[:8]} == {"near"}
    assert all(0 <= each.scores["duplicates_distance"] < 0.25 for each in marked[:8])


def test_other_clips_and_mirrored_ones_are_no_copies():
    clips = [clip(f"{i}.mp4", drawn(i)) for i in range(30)]
    clips += [clip(f"m{i}.mp4", drawn(i)[:, :, ::-1]) for i in range(30)]
    assert {each.tags["duplicates"] for each in Duplicates().process_all(clips)} == {"none"}


def test_equal_ids_are_exact_copies_whatever_was_dropped_stays():
    first, second = clip("a.mp4", drawn(0), content_id="x"), clip("b.mp4", drawn(1), content_id="x")
    gone, bare = clip("c.mp4", drawn(0)).drop("shots", "short"), Clip(source="d.mp4")
    one, two, three, four = Duplicates(drop=False).process_all([first, second, gone, bare])
    assert (one.tags["duplicates"], two.tags["duplicates"]) == ("none", "exact")
    assert (two.scores["duplicates_distance"], two.dropped) == (0.0, None)
    assert (three, four) == (gone, bare)


def test_what_is_kept_does_not_depend_on_the_order():
    clips = [clip(f"{i}{kind}.mp4", make(drawn(i))) for i in CLEAR[:5] for kind, make in COPIES.items()]
    forward = {each.source: each.dropped for each in Duplicates().process_all(clips)}
    backward = {each.source: each.dropped for each in Duplicates().process_all(clips[::-1])}
    assert forward == backward
    assert sum(dropped is None for dropped in forward.values()) == 5


def test_chains_do_not_form_and_no_clips_are_no_trouble():
    levels = [clip(f"{level}.mp4", np.full((6, 90, 160, 3), level, np.uint8)) for level in range(100, 140, 4)]
    kept = [each for each in Duplicates().process_all(levels) if each.dropped is None]
    assert 2 <= len(kept) <= 5
    assert Duplicates().process_all([]) == []


def test_a_crop_of_more_than_is_allowed_is_another_clip():
    originals = np.stack([look(drawn(i)) for i in range(0, 12, 2)])
    cropped = np.stack([look(drawn(i)[:, 24:, 40:]) for i in range(0, 12, 2)])
    found, _ = Duplicates().originals(np.concatenate([originals, cropped]))
    assert (found == np.arange(12)).all()


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="max_crop"):
        Duplicates(max_crop=0.5)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_figure_recall_and_precision_of_real_copies(tmp_path):
    """300 originals, half of them of the world; of each a re-encoded, a scaled and two cropped copies."""
    looks, owner = list[np.ndarray](), list[int]()
    for i in range(300):
        rng = np.random.default_rng([21, i])
        frames = world_shot(rng, 12, 96, 160) if i % 2 else drawn(1000 + i, 12)
        crop_y, crop_x = int(rng.integers(0, 5)), int(rng.integers(0, 9))
        versions = {
            "20": frames,
            "40": frames,
            "32": scaled(frames, 64, 106),
            "30": frames[:, 2:94, 4:156],
            "28": frames[:, crop_y : crop_y + 92, crop_x : crop_x + 152],
        }
        for crf, version in versions.items():
            path = write(tmp_path / "a.mp4", version, options={"crf": crf, "preset": "veryfast"})
            (found,) = Fingerprint().process(clip_of(path))
            looks.append(from_text([found.tags["fingerprint"]])[0])
            owner.append(i)
    owners = np.array(owner)
    originals, _ = Duplicates().originals(np.stack(looks))
    is_marked = originals != np.arange(len(owners))
    is_right = is_marked & (owners[originals] == owners)
    recall, precision = is_right.sum() / (len(owners) - 300), is_right.sum() / is_marked.sum()
    print(f"recall {recall:.4f}, precision {precision:.4f}, {is_marked.sum()} marked of {len(owners)}")
    assert recall >= 0.98
    assert precision >= 0.99


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_figure_a_hundred_thousand_clips():
    """Random fingerprints as unlike each other as clips are, a tenth of them copies."""
    rng = np.random.default_rng(0)
    alone = np.clip(rng.normal(0, 64 / np.sqrt(54), (90_000, 6, 150)), -127, 127).astype(np.int8)
    copies = np.clip(alone[:10_000] + rng.integers(-1, 2, (10_000, 6, 150)), -127, 127).astype(np.int8)
    start = time.process_time()
    originals, _ = Duplicates().originals(np.concatenate([alone, copies]))
    spent = time.process_time() - start
    print(f"{spent:.0f} s of CPU time for 100,000 clips")
    assert (originals[90_000:] == np.arange(10_000)).all()
    assert (originals[:90_000] == np.arange(90_000)).all()
    assert spent < 600

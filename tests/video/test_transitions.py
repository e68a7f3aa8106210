import numpy as np
import pytest

from rufous.video import transitions
from rufous.video.transitions import Transition, TransitionSettings, find_transitions
from tests.data.drawings import camera_over, faded, noise_picture, pattern_picture

FPS = 24.0


def drawn(seed: int, num_frames: int, *, speed: float = 0.8) -> np.ndarray:
    rng = np.random.default_rng(seed)
    draw = pattern_picture(rng, 128, 192) if seed % 2 else noise_picture(rng, 128, 192, roughness=0.8)
    return camera_over(rng, draw, num_frames, 64, 96, speed=speed)


def mixed(kind: str, size: int, *, lone: int = 30) -> np.ndarray:
    """Two shots of ``lone`` frames, and ``size`` between."""
    old, new = drawn(1, lone + size), drawn(2, lone + size)
    return np.concatenate([old[:lone], faded(old[lone:], new[:size], kind), new[size:]])


def found(frames: np.ndarray, **settings: float) -> list[Transition]:
    transitions_, num_frames = find_transitions(
        iter(frames), fps=FPS, settings=TransitionSettings(**settings)
    )
    assert num_frames == len(frames)
    return transitions_


def test_a_cut_is_found_at_its_frame():
    assert found(np.concatenate([drawn(1, 30), drawn(2, 25), drawn(3, 25)])) == [
        Transition(30, 30, "cut"),
        Transition(55, 55, "cut"),
    ]


@pytest.mark.parametrize("size", [5, 12, 24])
@pytest.mark.parametrize("kind", ["dissolve", "black", "white"])
def test_gradual_transitions_are_found_within_two_frames(kind, size):
    (one,) = found(mixed(kind, size))
    assert one.kind == ("dissolve" if kind == "dissolve" else "fade")
    assert abs(one.start - 30) <= 2
    assert abs(one.end - 30 - size) <= 2


def test_a_fade_in_at_the_start_and_out_at_the_end_reach_the_ends():
    frames = drawn(1, 60)
    black = np.zeros_like(frames[:12])
    frames[:12], frames[-12:] = faded(black, frames[:12], "dissolve"), faded(frames[-12:], black, "dissolve")
    first, last = found(frames)
    assert (first.kind, last.kind) == ("fade", "fade")
    assert first.start == 0
    assert abs(first.end - 12) <= 2
    assert abs(last.start - 48) <= 2
    assert last.end == 60


def test_a_moving_camera_is_no_transition():
    assert found(drawn(1, 70, speed=2.5)) == []
    assert found(drawn(2, 70, speed=2.5)) == []


@pytest.mark.parametrize("length", [1, 2, 4])
def test_a_flash_is_no_cut(length):
    frames = drawn(2, 50)
    frames[25 : 25 + length] = 250
    assert [each for each in found(frames) if each.kind == "cut"] == []


def test_frames_shown_three_times_are_no_cuts():
    frames = drawn(1, 90, speed=3.0)[::3].repeat(3, axis=0)
    assert [each for each in found(frames) if each.kind == "cut"] == []


def test_what_is_sought_in_blocks_is_what_is_sought_at_once(monkeypatch):
    frames = np.concatenate([mixed("dissolve", 12), mixed("black", 10), drawn(3, 40), drawn(4, 50)])
    whole = found(frames)
    assert len(whole) == 5
    monkeypatch.setattr(transitions, "_BLOCK", 120)
    monkeypatch.setattr(transitions, "_OVERLAP", 80)
    assert found(frames) == whole


@pytest.mark.parametrize("num_frames", [1, 2, 5])
def test_short_clips_have_none(num_frames):
    assert found(drawn(1, num_frames)) == []


def test_no_frames_give_none():
    assert find_transitions([], fps=FPS) == ([], 0)


def test_a_frame_of_another_size_is_refused():
    with pytest.raises(ValueError, match="the frame size changes at frame 3"):
        find_transitions([*drawn(1, 3), drawn(1, 1)[0][:32]], fps=FPS)


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="cut_ratio"):
        TransitionSettings(cut_ratio=0.0)

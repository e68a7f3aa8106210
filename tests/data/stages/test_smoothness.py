from dataclasses import replace

import numpy as np
import pytest
import torch

from rufous.core.errors import CheckpointError
from rufous.data.clip import Clip
from rufous.data.stage import Stage
from rufous.data.stages.smoothness import AmtSmoothness, Smoothness
from rufous.perception.amt import AMT, AMT_S
from tests.data.camera_clips import media_of
from tests.data.stages.test_flow import panned


def smoothness(frames: np.ndarray) -> float:
    (clip,) = Smoothness().process(Clip(source="a.mp4", media=media_of(frames)))
    return clip.scores["smoothness"]


def frames_of(**settings) -> np.ndarray:
    return panned(height=90, width=144, fps=24.0, **settings).frames().small


def test_even_motion_is_guessed_almost_exactly_and_better_than_by_blending():
    frames = frames_of(speed=0.5)
    blended = (frames[:-2:2].astype(float) + frames[2::2]) / 2
    by_blending = 1 - np.abs(blended - frames[1::2]).mean() / 255
    assert smoothness(frames) > 0.99 > by_blending


def test_the_rougher_the_lower():
    frames = frames_of(speed=0.5, num_frames=17)
    rng = np.random.default_rng(0)
    held = frames[np.arange(17) // 2 * 2]  # every second frame is shown twice
    flicker = np.clip(frames * np.where(np.arange(17) % 2, 0.8, 1.0)[:, None, None, None], 0, 255)
    scores = [smoothness(frames), smoothness(held), smoothness(flicker.astype(np.uint8))]
    scores.append(smoothness(rng.permutation(frames)))
    assert scores[0] > scores[1] > max(scores[2:])


def test_a_still_clip_is_perfectly_smooth():
    assert smoothness(frames_of(speed=0.0)) == 1.0


def test_two_frames_have_none_between():
    with pytest.raises(ValueError, match="2 frames: smoothness needs three"):
        smoothness(frames_of(speed=0.0, num_frames=2))


TINY = replace(AMT_S, corr_levels=2, corr_radius=1)


def test_amt_guesses_from_its_weights(tmp_path):
    torch.manual_seed(0)
    network = AMT(TINY).eval()
    torch.save(network.state_dict(), tmp_path / "amt.pth")
    clip = panned(height=128, width=128, speed=0.3, fps=24.0, num_frames=4)
    (measured,) = AmtSmoothness(weights=str(tmp_path / "amt.pth"), config=TINY).process(clip)
    frames = torch.from_numpy(clip.frames().small).movedim(-1, 1).float()
    with torch.no_grad():
        guess = (network.interpolate(frames[:1] / 255, frames[2:3] / 255) * 255).byte().float()
    expected = 1 - (guess - frames[1:2]).abs().mean() / 255
    assert measured.scores == {"smoothness_amt": pytest.approx(float(expected), abs=1e-5)}


def test_amt_says_what_it_needs(tmp_path):
    with pytest.raises(CheckpointError, match=r"amt-s.pth is missing: looked for .*amt.pth"):
        AmtSmoothness(weights=str(tmp_path / "amt.pth")).process(
            panned(height=128, width=128, speed=0.3, fps=24.0)
        )
    with pytest.raises(ValueError, match="at least 128"):
        AmtSmoothness(weights="x").process(panned(height=90, width=128, speed=0.3, fps=24.0))


def test_amt_knows_before_a_run_whether_its_weights_are_here(tmp_path):
    (tmp_path / "amt.pth").touch()
    assert AmtSmoothness(weights=str(tmp_path / "amt.pth")).missing() is None
    assert "amt-s.pth is missing" in (AmtSmoothness(weights=str(tmp_path / "none.pth")).missing() or "")


def test_both_are_stages():
    assert isinstance(Smoothness(), Stage)
    assert isinstance(AmtSmoothness(), Stage)

import pytest
import torch

from rufous.evaluation import judging
from rufous.evaluation.judging import (
    JudgedClip,
    judge_clip,
    mean_motion,
    share_all_right,
    truth_figures,
)
from rufous.world import Verdict, WorldClips, measure

RIGHT, WRONG = Verdict({"count": "right", "shape": "right"}), Verdict({"count": "right", "shape": "wrong"})


def test_a_clip_of_the_world_is_true_moves_and_is_measured_once(monkeypatch):
    clip, measured = WorldClips(seed=3, complete_captions=True)[0], []

    def counting(*arguments):
        measured.append(measure(*arguments))
        return measured[-1]

    monkeypatch.setattr(judging, "measure", counting)
    judged = judge_clip(clip.frames, clip.fps, clip.caption)
    assert judged.verdict is not None
    assert judged.verdict.all_right
    assert [each.motion_magnitude for each in measured] == [judged.motion_magnitude]
    assert judged.note is None


def test_nearly_all_clips_of_the_world_are_true():
    world = WorldClips(seed=77, complete_captions=True)
    clips = [world[index] for index in range(6)]
    assert share_all_right([judge_clip(clip.frames, clip.fps, clip.caption) for clip in clips]) >= 5 / 6


def test_a_clip_that_cannot_be_measured_says_why():
    judged = judge_clip(torch.zeros(1, 3, 16, 16, dtype=torch.uint8), 8.0, "a red circle moving left")
    assert (judged.motion_magnitude, judged.verdict) == (None, None)
    assert "at least 2 frames" in str(judged.note)


def test_a_prompt_outside_the_grammar_has_motion_but_no_truth():
    judged = judge_clip(torch.zeros(2, 3, 16, 16, dtype=torch.uint8), 8.0, "a panda")
    assert (judged.motion_magnitude, judged.verdict) == (0.0, None)
    assert "outside the world's grammar" in str(judged.note)


def test_figures_are_shares_and_means_over_the_clips():
    clips = [JudgedClip(motion_magnitude=motion, verdict=RIGHT) for motion in (0.1, 0.2, 0.3)]
    clips.append(JudgedClip(motion_magnitude=0.2, verdict=WRONG))
    assert (share_all_right(clips), mean_motion(clips)) == (0.75, pytest.approx(0.2))
    figures = truth_figures(clips)
    low, high = figures.pop("all_right_95")
    assert 0.0 <= low < 0.75 < high == 1.0
    assert figures == {
        "count": 1.0,
        "shape": 0.75,
        "all_right": 0.75,
        "motion_magnitude": 0.2,
        "num_clips": 4,
    }


@pytest.mark.parametrize("figure", [share_all_right, mean_motion, truth_figures])
def test_clips_that_were_not_judged_are_no_zeros(figure):
    clips = [
        JudgedClip(motion_magnitude=0.1, verdict=RIGHT),
        JudgedClip(motion_magnitude=None, verdict=None, note="too short"),
    ]
    with pytest.raises(ValueError, match="1 of 2 clips were judged: too short"):
        figure(clips)
    with pytest.raises(ValueError, match="0 of 0 clips were judged: there are none"):
        figure([])

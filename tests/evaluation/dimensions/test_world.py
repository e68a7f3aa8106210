import pytest
import torch

from rufous.evaluation.dimensions.decoded_clip import DecodedClip
from rufous.evaluation.dimensions.world import WorldFeatures, WorldMotion, WorldSmoothness, WorldTruth
from rufous.world import WorldClips, measure

CLIP = WorldClips(seed=3, complete_captions=True)[0]


def decoded(prompt: str = CLIP.caption) -> DecodedClip:
    return DecodedClip(frames=CLIP.frames, fps=CLIP.fps, prompt=prompt)


def test_a_clip_of_the_world_is_true_and_its_attributes_are_told():
    score = WorldTruth().measure(decoded())
    assert score.value == 1.0
    assert set(score.details["attributes"].values()) == {"right"}
    assert {"shape", "color", "motion"} <= set(score.details["attributes"])


def test_a_prompt_outside_the_grammar_does_not_count():
    score = WorldTruth().measure(decoded("a panda"))
    assert score.value is None
    assert "outside" in score.details["note"]


def test_motion_and_smoothness_are_those_of_the_yardstick():
    measured, clip = measure(CLIP.frames, CLIP.fps), decoded()
    assert WorldMotion().measure(clip).value == measured.motion_magnitude
    assert WorldSmoothness().measure(clip).value == measured.smoothness


MOVING = [
    index
    for index in range(24)
    if WorldClips(seed=31, complete_captions=True).scene(index)[0].things[0].motion != "still"
][:10]


@pytest.mark.parametrize("index", MOVING)
def test_shuffled_frames_are_less_smooth(index):
    clip = WorldClips(seed=31, complete_captions=True)[index]
    order = torch.randperm(len(clip.frames), generator=torch.Generator().manual_seed(index))
    intact, shuffled = (
        WorldSmoothness().measure(DecodedClip(frames=frames, fps=clip.fps)).value
        for frames in (clip.frames, clip.frames[order])
    )
    assert intact > 0.95
    assert shuffled < 0.9 * intact, clip.caption


def test_a_clip_that_cannot_be_measured_is_refused():
    clip = DecodedClip(frames=torch.zeros(1, 3, 16, 16, dtype=torch.uint8), fps=8.0)
    with pytest.raises(ValueError, match="at least 2 frames"):
        WorldMotion().measure(clip)


def test_features_are_kept_without_a_score():
    score = WorldFeatures(embed=lambda frames: torch.tensor([0.25, 1 / 3])).measure(decoded())
    assert (score.value, score.details) == (
        None,
        {"features": [0.25, 0.333333], "num_frames": len(CLIP.frames), "fps": CLIP.fps},
    )
    with pytest.raises(ValueError, match="world_features needs 2 frames"):
        WorldFeatures(embed=lambda frames: frames).measure(DecodedClip(frames=CLIP.frames[:1], fps=0.0))
    with pytest.raises(FloatingPointError, match="NaN"):
        WorldFeatures(embed=lambda frames: torch.tensor([float("nan")])).measure(decoded())

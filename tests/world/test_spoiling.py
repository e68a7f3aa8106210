import numpy as np
import pytest
import torch

from rufous.world.accuracy import judge_spoilt_clips
from rufous.world.captions import describe
from rufous.world.dataset import WorldClips
from rufous.world.render import render
from rufous.world.spoiling import SPOILERS, SPOILT_ATTRIBUTE, spoil
from rufous.world.truth import judge, measure


@pytest.mark.parametrize("kind", SPOILERS)
@pytest.mark.parametrize("level", ["core", "full"])
def test_spoilt_clips_are_refused_and_the_attribute_is_not_claimed(kind, level):
    verdicts = judge_spoilt_clips(
        WorldClips(seed=8, level=level, split="any"), kind, 2, lambda frames, _: frames
    )
    assert len(verdicts) == 2
    for verdict in verdicts:
        assert not verdict.all_right
        assert verdict.attributes[SPOILT_ATTRIBUTE[kind]] != "right", verdict


@pytest.mark.parametrize("kind", SPOILERS)
def test_spoiling_changes_some_frames_and_keeps_the_size(kind):
    clips = WorldClips(seed=2, split="any")
    found = [(s, spoil(kind, s, np.random.default_rng(0))) for s in (clips.scene(i)[0] for i in range(6))]
    scene, frames = next((s, f) for s, f in found if f is not None)
    whole = render(scene)
    assert frames.shape == whole.shape
    assert frames.dtype == torch.uint8
    assert not torch.equal(frames, whole)


def test_an_unknown_kind_is_refused():
    scene, _ = WorldClips(seed=0).scene(0)
    with pytest.raises(ValueError, match="kind='dirty' is unknown"):
        spoil("dirty", scene, np.random.default_rng(0))


@pytest.mark.parametrize("kind", ["half faded", "two colors"])
@pytest.mark.parametrize(("level", "index"), [("core", 51), ("full", 65)])
def test_a_spoilt_half_too_narrow_for_a_core_is_seen(kind, level, index):
    scene, _ = WorldClips(seed=0, level=level, split="any").scene(index)  # a small rectangle, a small cross
    frames = spoil(kind, scene, np.random.default_rng([0, index]))
    assert judge(describe(scene), measure(frames, 8.0)).attributes["color"] != "right"

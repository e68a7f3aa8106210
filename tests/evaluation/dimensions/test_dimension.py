from typing import get_args

import pytest
import torch

from rufous.evaluation.dimensions.clipsim import Clipsim
from rufous.evaluation.dimensions.decoded_clip import DecodedClip
from rufous.evaluation.dimensions.dimension import (
    ClipScore,
    Dimension,
    Label,
    at_least,
    dataset_score,
    needed,
)
from rufous.evaluation.dimensions.temporal_flickering import TemporalFlickering
from rufous.evaluation.dimensions.world import WorldFeatures

CLIP = DecodedClip(
    frames=torch.zeros(2, 3, 4, 4, dtype=torch.uint8), fps=8.0, auxiliary={"color": {"color": "red"}}
)


def test_the_labels_are_the_four_that_are_explained():
    assert get_args(Label) == ("verified", "parity-random", "exact", "proxy")
    networks = (Clipsim(embed=len, embed_text=len), WorldFeatures(embed=len))
    assert [row.label for row in networks] == ["parity-random", "proxy"]


def test_clips_weigh_as_much_as_their_frames():
    long, short = ClipScore(value=1.0, weight=15), ClipScore(value=0.0, weight=5)
    assert dataset_score([long, short]) == 0.75
    assert dataset_score([ClipScore(value=1.0), ClipScore(value=0.0)]) == 0.5


def test_what_does_not_count_is_left_out():
    assert dataset_score([ClipScore(value=None), ClipScore(value=0.25)]) == 0.25
    assert dataset_score([ClipScore(value=None)]) is None
    assert dataset_score([]) is None


def test_what_to_look_for_comes_from_the_suite():
    assert needed(CLIP, "color", "color") == "red"
    for names in (("scene", "scene"), ("color", "object"), ("color", "color", "color")):
        with pytest.raises(ValueError, match="does not know what to look for"):
            needed(CLIP, *names)


def test_a_clip_too_short_is_refused():
    at_least(CLIP, 2, "x")
    with pytest.raises(ValueError, match="x needs 3 frames or more, the clip has 2"):
        at_least(CLIP, 3, "x")


def test_a_row_is_a_dimension():
    assert isinstance(TemporalFlickering(), Dimension)

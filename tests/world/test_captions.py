import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rufous.world.captions import (
    caption_of,
    contradicts,
    describe,
    distracting_captions,
    parse_caption,
    vocabulary,
)
from rufous.world.dataset import WorldClips
from rufous.world.scene import sample_scene

SEEDS = st.integers(min_value=0, max_value=2**32 - 1)


@settings(max_examples=120, deadline=None)
@given(seed=SEEDS, level=st.sampled_from(["core", "full"]))
def test_a_complete_caption_says_all_that_the_scene_shows(seed, level):
    rng = np.random.default_rng(seed)
    scene = sample_scene(rng, level=level, split="any")
    parsed, truth = parse_caption(caption_of(scene, rng, complete=True)), describe(scene)
    assert parsed is not None
    assert parsed.things == truth.things
    assert (parsed.background_kind, parsed.background_colors) == (
        truth.background_kind,
        truth.background_colors,
    )
    assert (parsed.camera or "static", parsed.relation) == (truth.camera, truth.relation)


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS)
def test_a_distracting_caption_is_wrong_in_one_thing_it_says(seed):
    rng = np.random.default_rng(seed)
    scene = sample_scene(rng, split="any")
    caption = caption_of(scene, rng)
    said, truth = parse_caption(caption), describe(scene)
    assert said is not None
    assert not contradicts(said, truth)
    for text in distracting_captions(scene, caption, rng, 4):
        wrong = parse_caption(text)
        assert wrong is not None
        assert contradicts(said, wrong)
        (told,), (thing,) = wrong.things, truth.things
        differing = [
            name
            for name in ("shape", "color", "size", "motion")
            if getattr(told, name) not in (None, getattr(thing, name))
        ]
        background = (wrong.background_kind, wrong.background_colors)
        if background not in ((None, None), (truth.background_kind, truth.background_colors)):
            differing.append("background")
        assert len(differing) == 1


def test_only_scenes_with_one_thing_have_distracting_captions():
    rng = np.random.default_rng(0)
    scene = sample_scene(rng)
    with pytest.raises(ValueError, match="one thing"):
        distracting_captions(scene, "a zebra", rng, 1)


@settings(max_examples=120, deadline=None)
@given(seed=SEEDS)
def test_what_a_caption_leaves_out_is_none_and_the_rest_is_true(seed):
    rng = np.random.default_rng(seed)
    scene = sample_scene(rng, level="full", split="any")
    parsed = parse_caption(caption_of(scene, rng))
    assert parsed is not None
    for told, thing in zip(parsed.things, scene.things, strict=True):
        assert (told.shape, told.color, told.motion) == (thing.shape, thing.color, thing.motion)
        assert told.size in (None, thing.size)
    assert parsed.background_colors in (None, scene.background.colors)


def test_hundreds_of_captions_are_read_back_and_use_known_words_only():
    known = set(vocabulary())
    for level in ("core", "full"):
        clips = WorldClips(seed=4, level=level, split="any")
        for index in range(200):
            caption = clips.scene(index)[1]
            assert parse_caption(caption) is not None, caption
            assert set(re.findall(r"[a-z]+(?:-[a-z]+)*", caption)) <= known, caption


def test_the_vocabulary_is_sorted_and_without_doubles():
    words = vocabulary()
    assert words == sorted(set(words))
    assert len(words) < 120


@pytest.mark.parametrize("text", ["", "a panda", "a red circle on the moon", "red red circle moving left"])
def test_text_outside_the_grammar_is_none(text):
    assert parse_caption(text) is None


def test_case_spaces_and_a_full_stop_do_not_matter():
    assert parse_caption("A  Red circle   moving LEFT.") == parse_caption("a red circle moving left")

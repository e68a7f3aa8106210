from itertools import product

import numpy as np
import pytest

from rufous.world.motion import MOTIONS
from rufous.world.scene import (
    BACKGROUND_COLORS,
    COLORS,
    MIN_CONTRAST,
    SIZES,
    Background,
    background_rgb,
    has_contrast,
    is_held_out,
    is_observable,
    sample_scene,
)
from rufous.world.shapes import SHAPES

COMBINATIONS = list(product(SHAPES, COLORS, MOTIONS))


def scenes(count, **settings):
    return [sample_scene(np.random.default_rng([7, index]), **settings) for index in range(count)]


def test_about_a_tenth_of_the_combinations_is_held_out():
    share = np.mean([is_held_out(*combination) for combination in COMBINATIONS])
    assert 0.07 < share < 0.13


@pytest.mark.parametrize("level", ["core", "full"])
def test_the_splits_are_disjoint(level):
    drawn = {
        split: {(t.shape, t.color, t.motion) for s in scenes(80, level=level, split=split) for t in s.things}
        for split in ("train", "held_out")
    }
    assert not drawn["train"] & drawn["held_out"]
    assert all(is_held_out(*combination) for combination in drawn["held_out"])
    assert not any(is_held_out(*combination) for combination in drawn["train"])


@pytest.mark.parametrize("level", ["core", "full"])
def test_things_stand_out_from_their_background(level):
    for scene in scenes(300, level=level, split="any"):
        for thing in scene.things:
            assert has_contrast(thing.color, scene.background)
            assert is_observable(thing.shape, thing.motion)
            assert abs(thing.radius / SIZES[thing.size] - 1) <= 0.06 + 1e-9


def test_the_colors_of_a_background_stand_apart():
    for scene in scenes(200, level="full", split="any"):
        ends = background_rgb(scene.background)
        assert len(ends) == 1 or np.linalg.norm(ends[0] - ends[1]) >= MIN_CONTRAST


def test_contrast_is_checked_all_along_a_gradient():
    names = list(BACKGROUND_COLORS)
    gradient = Background(kind="gradient", colors=("white", "black"))
    assert {"white", "black"} <= set(names)
    assert not has_contrast("white", gradient)
    assert has_contrast("red", gradient)


def test_core_is_one_thing_before_a_still_camera():
    for scene in scenes(100):
        assert len(scene.things) == 1
        assert scene.background.kind in ("plain", "gradient")
        assert (scene.camera, scene.relation) == ("static", None)


def test_full_holds_patterns_cameras_and_pairs():
    drawn = scenes(200, level="full")
    assert {scene.background.kind for scene in drawn} == {"plain", "gradient", "checker", "stripes"}
    assert len({scene.camera for scene in drawn}) == 5
    assert {len(scene.things) for scene in drawn} == {1, 2}
    pairs = [scene for scene in drawn if scene.relation]
    assert all(scene.things[0].color != scene.things[1].color for scene in pairs)


def test_equal_seeds_give_equal_scenes():
    assert scenes(5, level="full") == scenes(5, level="full")

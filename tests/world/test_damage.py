import numpy as np
import pytest
import torch

from rufous.world.damage import DAMAGES, damaged
from rufous.world.dataset import WorldClips
from rufous.world.render import render

WORLD = WorldClips(seed=11, num_frames=8)


def sound(index):
    return WORLD[index].frames


def made(kind, index):
    scene, _ = WORLD.scene(index)
    return damaged(kind, scene, np.random.default_rng(index), num_frames=8, size=64, fps=8.0)


def edges(frames):
    return frames.float().diff(dim=-1).abs().amax(dim=(1, 2, 3)).mean()


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_depends_on_the_generator_alone(kind):
    assert torch.equal(made(kind, 0), made(kind, 0))
    assert made(kind, 0).shape == (8, 3, 64, 64)


@pytest.mark.parametrize("index", range(3))
def test_each_damage_is_what_its_name_says(index):
    clip = sound(index)
    assert torch.equal(made("wrong_caption", index), clip)
    assert edges(made("blur", index)) < 0.6 * edges(clip)
    brightness = made("flashing", index).float().mean(dim=(1, 2, 3))
    assert torch.equal(made("flashing", index)[::2], clip[::2])
    assert (brightness[1::2] > brightness[::2] + 2).all()


def test_in_a_dolly_zoom_the_thing_stays_and_what_is_behind_it_grows():
    scene, _ = WORLD.scene(1)
    frames = made("dolly_zoom", 1)
    without = render(type(scene)(things=(), background=scene.background), num_frames=8)
    is_thing = (sound(1) != without).any(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    assert torch.equal(frames[is_thing], sound(1)[is_thing])
    changes = [(row[:, 1:] != row[:, :-1]).any(dim=0).sum().item() for row in frames[[0, -1], :, 2]]
    assert changes[0] > changes[1]  # fewer fields along the top row at the end


def test_an_unknown_damage_is_refused():
    with pytest.raises(ValueError, match="kind='rust' is unknown"):
        made("rust", 0)

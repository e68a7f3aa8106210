import torch

from rufous.world.dataset import WorldClips
from rufous.world.scene import is_held_out


def test_equal_settings_give_equal_bytes():
    first, second = WorldClips(seed=5, level="full")[3], WorldClips(seed=5, level="full")[3]
    assert torch.equal(first.frames, second.frames)
    assert (first.caption, first.scene) == (second.caption, second.scene)


def test_another_seed_or_index_gives_another_clip():
    clips = WorldClips(seed=5)
    assert clips.scene(0) != clips.scene(1)
    assert clips.scene(0) != WorldClips(seed=6).scene(0)


def test_the_scene_can_be_had_without_drawing_it():
    clips = WorldClips(seed=5)
    scene, caption = clips.scene(2)
    assert (clips[2].scene, clips[2].caption) == (scene, caption)


def test_size_length_and_fps_are_as_asked():
    clip = WorldClips(seed=0, num_frames=8, height=72, width=128, fps=10.0)[0]
    assert clip.frames.shape == (8, 3, 72, 128)
    assert clip.fps == 10.0


def test_the_held_out_split_holds_nothing_else():
    clips = WorldClips(seed=0, level="full", split="held_out")
    things = [thing for index in range(50) for thing in clips.scene(index)[0].things]
    assert all(is_held_out(thing.shape, thing.color, thing.motion) for thing in things)

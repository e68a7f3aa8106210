import hashlib
import time
from dataclasses import replace

import pytest
import torch

from rufous.world.dataset import WorldClips
from rufous.world.motion import MotionParameters
from rufous.world.render import render
from rufous.world.scene import COLORS, Background, Scene, Thing

STILL = MotionParameters(center=(0.0, 0.0))
DISC = Thing(shape="circle", color="red", size="large", motion="still", radius=0.21, parameters=STILL)
SCENE = Scene(things=(DISC,), background=Background(kind="stripes", colors=("white", "navy")))


def test_a_rendered_clip_never_changes():
    digest = hashlib.sha256()
    for level in ("core", "full"):
        clips = WorldClips(seed=0, level=level)
        for index in range(3):
            digest.update(clips[index].frames.numpy().tobytes())
    assert digest.hexdigest()[:16] == "d4e0510b1a68fa11"


@pytest.mark.parametrize(
    ("num_frames", "height", "width", "fps"), [(1, 8, 8, 1.0), (3, 64, 112, 30.0), (2, 97, 41, 7.5)]
)
@pytest.mark.parametrize("camera", ["static", "pan left", "zoom in"])
def test_any_size_length_and_fps_can_be_drawn(num_frames, height, width, fps, camera):
    scene = replace(SCENE, camera=camera, camera_speed=0.2)
    frames = render(scene, num_frames=num_frames, height=height, width=width, fps=fps)
    assert frames.shape == (num_frames, 3, height, width)
    assert frames.dtype == torch.uint8


def test_the_middle_of_a_thing_has_its_exact_color():
    frames = render(SCENE, num_frames=1)
    assert tuple(frames[0, :, 32, 32].tolist()) == COLORS["red"]


def test_the_area_of_a_thing_is_that_of_its_disc():
    plain = replace(SCENE, background=Background(kind="plain", colors=("black",)))
    frames = render(plain, num_frames=1, height=128, width=128).float()
    cover = (frames[0, 0] - 20) / (220 - 20)
    assert cover.sum().item() == pytest.approx(torch.pi * (0.21 * 128) ** 2, rel=0.01)


def test_a_camera_that_pans_right_sees_the_thing_move_left():
    frames = render(replace(SCENE, camera="pan right", camera_speed=0.2)).float()
    red = (frames[:, 0] > 200) & (frames[:, 1] < 60)
    columns = torch.arange(64).float()
    first, last = ((red[index].sum(0) * columns).sum() / red[index].sum() for index in (0, -1))
    assert last < first - 15


def test_zooming_in_enlarges_the_thing():
    frames = render(replace(SCENE, camera="zoom in", camera_speed=0.25)).float()
    red = ((frames[:, 0] > 200) & (frames[:, 1] < 60)).sum(dim=(1, 2)).float()
    assert (red[-1] / red[0]).item() == pytest.approx(torch.e ** (2 * 0.25 * 15 / 8), rel=0.1)


def test_drawing_a_clip_takes_milliseconds():
    clips = WorldClips(seed=1, level="full")
    start = time.process_time()
    for index in range(10):
        clips[index]
    assert (time.process_time() - start) / 10 < 0.1


@pytest.mark.parametrize("wrong", [{"height": 4}, {"num_frames": 0}, {"fps": 0.0}])
def test_a_clip_that_cannot_be_drawn_is_refused(wrong):
    with pytest.raises(ValueError, match="cannot render"):
        render(SCENE, **wrong)

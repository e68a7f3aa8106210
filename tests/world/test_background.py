import numpy as np
import pytest
import torch

from rufous.world.background import fit_background
from rufous.world.motion import MotionParameters
from rufous.world.render import render
from rufous.world.scene import BACKGROUND_COLORS, Background, Scene, Thing

DURATION_S = 15 / 8
STAR = Thing(
    shape="star",
    color="pink",
    size="large",
    motion="moving left",
    radius=0.21,
    parameters=MotionParameters(center=(0.0, 0.05), travel=0.4),
)


def video_of(background: Background, *things: Thing, **camera) -> np.ndarray:
    frames = render(Scene(things=things, background=background, **camera))
    return frames.permute(0, 2, 3, 1).numpy().astype(np.float32)


@pytest.mark.parametrize(
    "background",
    [
        *[Background(kind="plain", colors=(name,)) for name in BACKGROUND_COLORS],
        Background(kind="gradient", colors=("navy", "beige")),
        Background(kind="gradient", colors=("beige", "navy")),
        Background(kind="checker", colors=("black", "white")),
        Background(kind="checker", colors=("brown", "beige"), period=0.2),
        Background(kind="stripes", colors=("gray", "navy")),
    ],
    ids=lambda background: f"{background.kind} {' '.join(background.colors)}",
)
def test_a_background_is_named_and_rebuilt_behind_a_moving_thing(background):
    fit = fit_background(video_of(background, STAR))
    assert fit.doubt is None
    assert fit.kind == background.kind
    if background.kind in ("checker", "stripes"):
        assert set(fit.colors) == set(background.colors)
    else:
        assert fit.colors == background.colors
    assert np.abs(fit.values - video_of(background)).mean() < 4


@pytest.mark.parametrize("kind", ["checker", "stripes"])
@pytest.mark.parametrize(("camera", "sign"), [("pan right", -1), ("pan left", 1)])
def test_a_pattern_shows_how_far_the_camera_pans(kind, camera, sign):
    background = Background(kind=kind, colors=("white", "navy"))
    track = fit_background(video_of(background, camera=camera, camera_speed=0.12)).registration
    assert np.ptp(track.pan_x) == pytest.approx(0.12 * DURATION_S, abs=0.01)
    assert np.sign(track.pan_x[-1] - track.pan_x[0]) == sign
    assert np.ptp(track.pan_y) < 0.01
    assert np.ptp(track.zoom) < 0.02


@pytest.mark.parametrize(("camera", "sign"), [("zoom in", 1), ("zoom out", -1)])
def test_a_pattern_shows_how_far_the_camera_zooms(camera, sign):
    background = Background(kind="checker", colors=("white", "navy"))
    track = fit_background(video_of(background, camera=camera, camera_speed=0.25)).registration
    assert np.log(track.zoom[-1] / track.zoom[0]) == pytest.approx(sign * 0.25 * DURATION_S, abs=0.02)


def test_a_background_without_a_pattern_shows_no_camera():
    track = fit_background(video_of(Background(kind="gradient", colors=("white", "navy")))).registration
    assert not track.pan_x.any()
    assert not track.pan_y.any()
    assert (track.zoom == 1).all()


def test_a_color_between_two_names_is_not_claimed():
    between = np.mean([BACKGROUND_COLORS["gray"], BACKGROUND_COLORS["brown"]], axis=0)
    video = np.broadcast_to(between.astype(np.float32), (4, 32, 32, 3))
    doubt = fit_background(video).doubt
    assert doubt is not None
    assert "lies between" in doubt


def test_a_background_that_changes_is_not_claimed():
    video = video_of(Background(kind="plain", colors=("white",)))
    video[8:] = BACKGROUND_COLORS["navy"]
    assert fit_background(video).doubt is not None


def test_noise_is_no_background():
    noise = torch.randint(0, 256, (4, 32, 32, 3), generator=torch.Generator().manual_seed(0)).numpy()
    assert fit_background(noise.astype(np.float32)).doubt is not None


def test_a_flicker_of_all_pixels_belongs_to_the_background():
    video = video_of(Background(kind="plain", colors=("gray",)))
    video[::2] += 12
    fit = fit_background(video)
    assert (fit.kind, fit.colors) == ("plain", ("gray",))
    assert np.abs(fit.values - video).max() < 1

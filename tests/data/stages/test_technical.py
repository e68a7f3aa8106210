import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from rufous.data.stages.borders import Borders
from rufous.data.stages.fingerprint import Fingerprint
from rufous.data.stages.flashing import Flashing
from rufous.data.stages.shots import Shots
from rufous.data.stages.still import Still
from rufous.data.stages.technical import Technical
from tests.data.drawings import camera_over, clip_of, held, noise_picture, pattern_picture, world_shot, write
from tests.data.real_input import GENERATORS, generated, pictures_of

SIGMAS = (0, 0.5, 0.7, 0.9, 1.2, 1.5, 2, 2.5, 3.2, 4)
NOISES = (0, 1, 2, 3, 4.5, 6, 8, 11, 15, 20)
CRFS = (14, 18, 22, 26, 30, 34, 38, 42, 46, 51)


def textured(
    num_frames: int = 4, height: int = 160, width: int = 256, *, roughness: float = 1.2
) -> np.ndarray:
    rng = np.random.default_rng(4)
    picture = noise_picture(rng, 2 * height, 2 * width, roughness=roughness)
    return camera_over(rng, picture, num_frames, height, width, speed=1.0)


def scores(frames: np.ndarray) -> dict[str, float]:
    (clip,) = Technical().process(held(frames))
    return dict(clip.scores)


def blurred(frames: np.ndarray, sigma: float) -> np.ndarray:
    return np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) if sigma else frame for frame in frames])


def noisy(frames: np.ndarray, deviation: float) -> np.ndarray:
    noise = np.random.default_rng(0).standard_normal((*frames.shape[:3], 1))
    return np.clip(frames + deviation * noise, 0, 255).round().astype(np.uint8)


def order(values: list[float]) -> float:
    """Spearman's correlation with worse and worse grades, times -1; equal values share their mean rank."""
    rounded = np.round(values, 9)
    if np.ptp(rounded) == 0:
        return 0.0  # a score that never changes orders nothing
    ranks = (rounded > rounded[:, None]).sum(0) + ((rounded == rounded[:, None]).sum(0) - 1) / 2
    return -float(np.corrcoef(ranks, np.arange(len(values)))[0, 1])


def test_parts_lie_in_their_ranges_and_the_joint_score_in_0_1():
    found = scores(textured())
    assert set(found) == {
        "technical",
        *(f"technical_{p}" for p in ("sharpness", "noise", "blockiness", "exposure", "edge_width")),
        *(f"technical_{p}" for p in ("steps", "banding", "unevenness", "quantizer")),
    }
    assert 0 < found["technical"] < 1
    assert 0 < found["technical_exposure"] <= 1


def test_blur_takes_sharpness_and_noise_is_measured():
    frames = textured()
    assert scores(blurred(frames, 2.0))["technical_sharpness"] < 0.7 * scores(frames)["technical_sharpness"]
    assert scores(frames)["technical_noise"] < 0.5
    for deviation in (3, 6, 12):
        assert scores(noisy(textured(roughness=0.3), deviation))["technical_noise"] == pytest.approx(
            deviation, rel=0.1
        )


@pytest.mark.parametrize("contrast", [20, 200])
def test_edges_are_as_wide_as_their_blur_whatever_the_contrast(contrast):
    frames = np.full((2, 96, 96, 3), 30, np.uint8)
    frames[:, 30:60, 20:70] += contrast
    assert scores(frames)["technical_edge_width"] == 1.0
    for sigma in (1.0, 2.0, 4.0):
        width = scores(blurred(frames, sigma))["technical_edge_width"]
        assert width == pytest.approx(np.sqrt(2 * np.pi) * sigma, rel=0.2)
    assert scores(np.full((1, 32, 32, 3), 90, np.uint8))["technical_edge_width"] == 0.0


def test_the_score_falls_with_blur_and_with_noise():
    frames = textured()
    assert order([scores(blurred(frames, sigma))["technical"] for sigma in SIGMAS]) >= 0.95
    assert order([scores(noisy(frames, deviation))["technical"] for deviation in NOISES]) >= 0.95


def test_blocks_are_told_from_content():
    frames = textured()
    coded = [
        cv2.imdecode(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 10])[1], 1) for frame in frames
    ]
    assert scores(frames)["technical_blockiness"] < 0.1
    assert scores(np.stack(coded))["technical_blockiness"] > 0.3


@pytest.mark.parametrize("name", ["gradients", "world"])
def test_coding_of_plain_pictures_lowers_the_score_though_it_raises_gradients(name, tmp_path):
    frames = enlarged_world(5, 4) if name == "world" else generated(name, 4, height=320, width=512)
    found = []
    for crf in (14, 34, 42):
        path = write(tmp_path / "a.mp4", frames, options={"crf": str(crf), "preset": "veryfast"})
        (clip,) = Technical().process(clip_of(path))
        found.append(clip.scores)
    joint = [each["technical"] for each in found]
    assert joint == sorted(joint, reverse=True)
    assert joint[0] > 1.02 * joint[-1]
    assert found[-1]["technical_banding"] > 1.1 * found[0]["technical_banding"]


def test_clipping_and_flatness_take_exposure():
    frames = textured()
    bright = np.clip(frames.astype(int) * 6, 0, 255).astype(np.uint8)
    flat = (frames // 16) + 120
    assert scores(bright)["technical_exposure"] < 0.7 * scores(frames)["technical_exposure"]
    assert scores(flat)["technical_exposure"] < 0.5


@pytest.mark.parametrize("shape", [(1, 1), (4, 6), (17, 9), (2000, 1500)])
def test_any_size_is_measured(shape):
    frames = np.random.default_rng(0).integers(0, 256, (1, *shape, 3), dtype=np.uint8)
    assert all(np.isfinite(value) for value in scores(frames).values())


def test_coarser_coding_lowers_the_score_of_a_picture_that_hides_it(tmp_path):
    """A flat picture is the same at every quality; the decoder alone knows."""
    found = []
    for parameter in (10, 30, 50):
        options = {"preset": "veryfast", "qp": str(parameter)}
        path = write(tmp_path / "a.mp4", np.full((4, 64, 96, 3), 120, np.uint8), options=options)
        (clip,) = Technical().process(clip_of(path))
        found.append(clip.scores)
    assert found[0]["technical_sharpness"] == found[-1]["technical_sharpness"]
    joint = [each["technical"] for each in found]
    assert joint == sorted(joint, reverse=True)
    assert found[-1]["technical_quantizer"] > 10 * found[0]["technical_quantizer"]


def test_frames_that_no_decoder_tells_of_have_no_quantizer():
    assert scores(textured())["technical_quantizer"] == 0.0


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match=r"half_noise=0\.0"):
        Technical(half_noise=0.0)


def enlarged_world(seed: int, num_frames: int = 10, height: int = 320, width: int = 512) -> np.ndarray:
    small = world_shot(np.random.default_rng(seed), num_frames, height // 4, width // 4)
    return np.stack([cv2.resize(f, (width, height), interpolation=cv2.INTER_CUBIC) for f in small])


def sources() -> dict[str, np.ndarray]:
    """Ten frames of 320x512 each: world clips enlarged, textures, and FFmpeg's generators."""
    made = {name: generated(name, 10, height=320, width=512) for name in GENERATORS}
    made |= {f"world{seed}": enlarged_world(seed) for seed in range(3)}
    made["texture"] = textured(10, 320, 512)
    rng = np.random.default_rng(9)
    made["pattern"] = camera_over(rng, pattern_picture(rng, 640, 1024), 10, 320, 512, speed=1.0)
    return made


def orders(name: str, frames: np.ndarray, folder: Path) -> dict[str, float]:
    """By kind of damage, how well the score orders its ten grades; prints them."""
    few = frames[1::3]
    grades = {
        "blur": [scores(blurred(few, sigma)) for sigma in SIGMAS],
        "noise": [scores(noisy(few, deviation)) for deviation in NOISES],
        "crf": [],
    }
    for crf in CRFS:
        path = write(folder / "a.mp4", frames, options={"crf": str(crf), "preset": "veryfast"})
        (clip,) = Technical().process(clip_of(path))
        grades["crf"].append(clip.scores)
    found = {}
    for kind, each in grades.items():
        found[kind] = order([grade["technical"] for grade in each])
        shown = " ".join(f"{grade['technical']:.4f}" for grade in each)
        print(f"{name:12s} {kind:6s} {found[kind]:.3f} {shown}", flush=True)
    return found


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_figure_the_score_orders_ten_grades_of_crf_blur_and_noise(tmp_path):
    found = {
        (name, kind): value
        for name, frames in sources().items()
        for kind, value in orders(name, frames, tmp_path).items()
    }
    assert {key: value for key, value in found.items() if value < 0.95} == {}


def random_gradient(seed: int) -> np.ndarray:
    """Three colours, and a line along which they change: ten frames in which it turns."""
    rng = np.random.default_rng(seed)
    colors = rng.integers(0, 1 << 24, 3)
    (x0, x1), (y0, y1) = rng.integers(0, 512, 2), rng.integers(0, 320, 2)
    text = "".join(f":c{i}=0x{color:06X}" for i, color in enumerate(colors))
    text = f"gradients=size=512x320:speed=0.05:nb_colors=3{text}:x0={x0}:y0={y0}:x1={x1}:y1={y1}"
    return pictures_of(text, 10)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(
    ("name", "draw", "seeds", "unordered"),
    [
        ("world", enlarged_world, range(100, 124), {("world109", "blur")}),
        ("world", enlarged_world, range(200, 224), set()),
        ("gradient", random_gradient, range(1, 10), {("gradient6", "blur")}),
        ("gradient", random_gradient, range(50, 59), set()),
    ],
)
def test_figure_other_plain_clips_are_ordered_too(name, draw, seeds, unordered, tmp_path):
    """Nothing was tuned on these; docs/curation_shots.md tells why two miss 0.95."""
    found = {
        (f"{name}{seed}", kind): value
        for seed in seeds
        for kind, value in orders(f"{name}{seed}", draw(seed), tmp_path).items()
    }
    assert {key for key, value in found.items() if value < 0.95} == unordered


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_figure_all_stages_together_take_a_third_of_a_second_of_cpu_time_a_clip(tmp_path):
    """4 s of 24 frames a second at 320x512, without decoding, which all stages share."""
    path = write(tmp_path / "a.mp4", textured(96, 320, 512))
    stages = (Shots(), Fingerprint(), Borders(), Still(), Flashing(), Technical())
    for _ in range(2):  # packages are imported in the first
        clip = clip_of(path)
        assert clip.frames().small.shape == (96, 180, 288, 3)
        spent = {}
        start = time.process_time()
        _ = clip.frames().gray
        spent["gray"] = time.process_time() - start
        for stage in stages:
            start = time.process_time()
            (clip,) = stage.process(clip)
            spent[stage.name] = time.process_time() - start
        print({name: round(value, 4) for name, value in spent.items()}, round(sum(spent.values()), 3))
    assert sum(spent.values()) < 0.35

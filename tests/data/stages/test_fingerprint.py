import cv2
import numpy as np
import pytest

from rufous.data.stages.fingerprint import (
    CHROMA,
    LUMA,
    NUM_FRAMES,
    Fingerprint,
    cosines,
    described,
    from_text,
    unpacked,
)
from tests.data.drawings import camera_over, held, noise_picture


def drawn(seed: int = 0, num_frames: int = 24) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return camera_over(rng, noise_picture(rng, 192, 320, roughness=0.8), num_frames, 96, 160, speed=1.0)


def test_a_fingerprint_is_short_text_that_reads_back():
    (clip,) = Fingerprint().process(held(drawn()))
    text = clip.tags["fingerprint"]
    assert len(text) == 1200
    values = from_text([text, text])
    assert values.shape == (2, NUM_FRAMES, LUMA**2 + 2 * CHROMA**2)
    assert (values[0] == described([drawn()[i] for i in (2, 6, 10, 14, 18, 22)])).all()


def test_plain_pictures_of_any_level_have_no_contrast():
    for level in range(256):
        frames = np.full((6, 90, 160, 3), level, np.uint8)  # rounding must not matter, warnings are errors
        values = described(list(frames))
        firsts = [0, LUMA**2, LUMA**2 + CHROMA**2]
        assert not np.delete(values, firsts, axis=1).any()


def test_twice_the_rate_gives_nearly_the_same():
    frames = drawn()
    (slow,), (fast,) = (Fingerprint().process(held(each)) for each in (frames, frames.repeat(2, axis=0)))
    one, two = (unpacked(from_text([clip.tags["fingerprint"]])) for clip in (slow, fast))
    assert np.abs(one.luma - two.luma).max() < 0.02


def test_a_description_has_unit_contrast_and_means_apart():
    looks = unpacked(described(list(drawn()[:6])))
    energy = np.square(looks.luma[..., :6, :6]).sum() + np.square(looks.chroma[..., :3, :3]).sum()
    assert energy == pytest.approx(1.0, abs=0.05)
    brighter = unpacked(
        described([np.clip(frame.astype(int) + 8, 0, 255).astype(np.uint8) for frame in drawn()[:6]])
    )
    assert np.abs(brighter.luma - looks.luma).max() < 0.1
    moved = (brighter.means - looks.means)[:, 0] * np.sqrt(NUM_FRAMES) * 40
    assert moved == pytest.approx(8.0, abs=2.5)


def test_flat_clips_differ_by_their_means_alone():
    gray, lighter = (
        unpacked(described([np.full((90, 160, 3), level, np.uint8)] * 6)) for level in (100, 140)
    )
    assert np.abs(gray.luma).max() == np.abs(lighter.luma).max() == 0.0
    assert np.linalg.norm(gray.means - lighter.means) == pytest.approx(1.0, abs=0.05)


def test_cosines_are_orthonormal_and_those_of_opencv():
    basis = cosines(16)
    assert np.abs(basis @ basis.T - np.eye(16)).max() < 1e-5
    picture = np.random.default_rng(0).uniform(0, 255, (16, 16)).astype(np.float32)
    assert np.abs(basis @ picture @ basis.T - cv2.dct(picture)).max() < 1e-2


def test_other_text_is_refused():
    with pytest.raises(ValueError, match="is no fingerprint"):
        from_text(["aGVsbG8="])

import cv2
import numpy as np
import pytest
import torch

from rufous.core.errors import CheckpointError
from rufous.data.clip import Clip
from rufous.data.stage import Stage, settings_key
from rufous.data.stages.flow import Flow, RaftFlow
from rufous.perception.raft import RAFT, RAFTConfig
from tests.data.camera_clips import media_of


def texture(height: int, width: int) -> np.ndarray:
    noise = np.random.default_rng(0).normal(size=(height, width, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 4)
    return np.clip(128 + 50 * soft / soft.std(), 0, 255).astype(np.uint8)


def panned(*, height: int, width: int, speed: float, fps: float, num_frames: int = 9) -> Clip:
    """A texture that moves right by ``speed`` shorter sides a second."""
    picture = texture(2 * height, 2 * width)
    shifts = speed * min(height, width) * np.arange(num_frames) / fps
    frames = [
        cv2.warpAffine(picture, np.array([[1, 0, s - width / 2], [0, 1, -height / 2]]), (width, height))
        for s in shifts
    ]
    return Clip(source="panned.mp4", media=media_of(np.stack(frames), fps))


@pytest.mark.parametrize(("height", "width", "fps"), [(90, 144, 24.0), (180, 288, 24.0), (144, 90, 48.0)])
def test_flow_is_in_shorter_sides_a_second_at_any_size_and_rate(height, width, fps):
    (clip,) = Flow().process(panned(height=height, width=width, speed=0.3, fps=fps))
    assert clip.scores["flow"] == pytest.approx(0.3, rel=0.1)


@pytest.mark.parametrize(("height", "width", "long"), [(90, 144, 576 / 144), (144, 90, 320 / 90)])
def test_open_sora_counts_pixels_over_ten_frames_at_its_size(height, width, long):
    (clip,) = Flow().process(panned(height=height, width=width, speed=0.3, fps=24.0))
    pixels = 0.3 * 90 * 10 / 24  # to the right, none down: their mean is half
    assert clip.scores["flow_open_sora"] == pytest.approx(pixels * long / 2, rel=0.1)


def test_a_still_clip_does_not_flow():
    (clip,) = Flow().process(panned(height=90, width=144, speed=0.0, fps=24.0))
    assert clip.scores["flow"] == pytest.approx(0, abs=1e-3)


def test_one_frame_or_a_tiny_one_is_refused():
    with pytest.raises(ValueError, match="one frame shows no motion"):
        Flow().process(panned(height=90, width=144, speed=0.0, fps=24.0, num_frames=1))
    with pytest.raises(ValueError, match="too small"):
        Flow().process(panned(height=8, width=144, speed=0.0, fps=24.0))


TINY = RAFTConfig(encoder_widths=(8, 8, 8), feature_dim=8, hidden_dim=8, corr_levels=2, corr_radius=1)


def test_raft_measures_from_its_weights(tmp_path):
    torch.manual_seed(0)
    network = RAFT(TINY)
    torch.save({f"module.{k}": v for k, v in network.state_dict().items()}, tmp_path / "raft.pth")
    stage = RaftFlow(weights=str(tmp_path / "raft.pth"), config=TINY, num_pairs=2)
    clip = panned(height=128, width=128, speed=0.3, fps=24.0, num_frames=5)
    (measured,) = stage.process(clip)
    frames = torch.from_numpy(clip.frames().small).movedim(-1, 1).float()
    with torch.no_grad():
        flow = torch.cat([network.eval().flow(frames[i : i + 1], frames[i + 2 : i + 3]) for i in (0, 2)])
    expected = flow.norm(dim=1).mean() / 128 / (2 / 24)
    assert measured.scores == {"flow_raft": pytest.approx(float(expected), rel=1e-4)}


def test_raft_says_what_it_needs(tmp_path):
    with pytest.raises(CheckpointError, match=r"raft-things.pth is missing: looked for .*raft.pth"):
        RaftFlow(weights=str(tmp_path / "raft.pth")).process(
            panned(height=128, width=128, speed=0.3, fps=24.0)
        )
    with pytest.raises(ValueError, match="at least 121"):
        RaftFlow(weights="x").process(panned(height=90, width=128, speed=0.3, fps=24.0))


def test_raft_knows_before_a_run_whether_its_weights_are_here(tmp_path):
    (tmp_path / "raft.pth").touch()
    assert RaftFlow(weights=str(tmp_path / "raft.pth")).missing() is None
    assert "raft-things.pth is missing" in (RaftFlow(weights=str(tmp_path / "none.pth")).missing() or "")


def test_they_are_stages_with_settings():
    assert isinstance(Flow(), Stage)
    assert isinstance(RaftFlow(), Stage)
    assert settings_key(RaftFlow()) != settings_key(RaftFlow(num_pairs=5))

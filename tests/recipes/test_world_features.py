from pathlib import Path

import numpy as np
import torch

from rufous.checkpoints.release import load_component
from rufous.recipes.world_clips import render_clips
from rufous.recipes.world_features import encode_features
from rufous.video.frames import from_uint8

CPU = torch.device("cpu")


def test_features_are_the_frame_towers_standardised_and_kept(road, tmp_path):
    clips = render_clips(road.clips, road.root / "clips")
    release = Path(road.teacher.text)
    features = encode_features(clips, release, tmp_path, CPU)
    model = load_component(release, "video_text", dtype=torch.float32).eval()
    pixels = from_uint8(torch.from_numpy(clips.frames[:].copy())).transpose(1, 2)
    with torch.no_grad():
        raw = model.frame_features(pixels).numpy()
    flat = raw.reshape(-1, raw.shape[-1])
    expected = (raw - flat.mean(axis=0)) / (flat.std(axis=0) + 1e-6)
    np.testing.assert_allclose(features.astype(np.float32), expected, atol=5e-3)
    written = (tmp_path / "features.npy").stat().st_mtime_ns
    encode_features(clips, release, tmp_path, CPU)
    assert (tmp_path / "features.npy").stat().st_mtime_ns == written

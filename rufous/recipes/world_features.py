"""What the world's frozen video-text model sees in each frame of the clips, cached for alignment."""

import json
from pathlib import Path

import numpy as np
import torch

from rufous.checkpoints.release import load_component
from rufous.core.console import logger
from rufous.core.files import sha256_of, write_text
from rufous.networks.video_text import VideoTextModel
from rufous.recipes.world_clips import RenderedClips
from rufous.video.frames import from_uint8

BATCH = 32
NUM_MEASURED = 512
"""Clips by which features are brought to mean 0 and deviation 1."""

_log = logger(__name__)


def encode_features(
    clips: RenderedClips, release: Path | str, folder: Path, device: torch.device
) -> np.ndarray:
    """Features ``float16 [n f e]`` by memory mapping, made in ``folder`` unless they are there already.

    Whether they are is told by the hash of the model's weights and the clips' count.

    Args:
        clips: Rendered; every frame is read.
        release: Folder with the component ``video_text``.
        folder: For ``features.npy`` and ``features.json``.
        device: Where the model runs.
    """
    weights = sha256_of(Path(release) / "video_text" / "model.safetensors")
    done, made_of = folder / "features.json", {"video_text_sha256": weights, "num_clips": len(clips)}
    if not done.is_file() or json.loads(done.read_text()) != made_of:
        folder.mkdir(parents=True, exist_ok=True)
        done.unlink(missing_ok=True)
        _log.info("reading the features of %d clips into %s", len(clips), folder)
        model = load_component(release, "video_text", dtype=torch.float32, device=device).eval()
        np.save(folder / "features.npy", _encode(model, clips.frames, device))
        write_text(done, json.dumps(made_of))
    return np.load(folder / "features.npy", mmap_mode="r")


@torch.inference_mode()
def _encode(model: VideoTextModel, frames: np.ndarray, device: torch.device) -> np.ndarray:
    parts: list[np.ndarray] = []
    for start in range(0, len(frames), BATCH):
        pixels = from_uint8(torch.from_numpy(frames[start : start + BATCH].copy()).to(device))
        parts.append(model.frame_features(pixels.transpose(1, 2)).float().cpu().numpy())
    features = np.concatenate(parts)
    measured = features[:NUM_MEASURED].reshape(-1, features.shape[-1])
    return ((features - measured.mean(axis=0)) / (measured.std(axis=0) + 1e-6)).astype(np.float16)

"""One generated clip: its file, what is stored inside it, and the manifest beside it."""

import json
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rufous.apps.progress import timed

if TYPE_CHECKING:
    from rufous.pipelines import TextToVideoOutput, TextToVideoPipeline
    from rufous.pipelines.request import GenerationRequest


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One clip that is to be made."""

    prompt: str
    seed: int
    path: Path
    manifest: Path | None = None
    """Where its manifest goes; None: beside it."""


def write_clip(
    clip: Clip,
    result: "TextToVideoOutput",
    pipeline: "TextToVideoPipeline",
    *,
    seconds: dict[str, float],
) -> dict[str, Any]:
    """Write the manifest, then move the clip into place: a clip that is there has its manifest.

    Args:
        clip: What was asked for.
        result: What the pipeline made of it.
        pipeline: The pipeline.
        seconds: Wall time by stage; the clip's times are added.

    Returns:
        The manifest, and the clip's ``path``.

    Raises:
        OSError: The disk is full or cannot be written; what stood there is untouched.
    """
    from rufous.core.files import atomic_path, sha256_of, write_text
    from rufous.video.write import manifest_path, write_video

    own: dict[str, float] = {str(stage): value for stage, value in result.seconds.items()}
    tags = {"prompt": clip.prompt, "seed": clip.seed, "manifest_id": pipeline.manifest.id}
    is_frames = clip.path.suffix.lower() == ".png"  # many files, which cannot be moved as one
    with nullcontext(clip.path) if is_frames else atomic_path(clip.path) as staged:
        with timed(own, "write"):
            write_video(staged, result.frames[0], fps=result.fps, metadata=tags)
        manifest = {
            **tags,
            "file": clip.path.name,
            "sha256": None if is_frames else sha256_of(staged),
            **_how_it_was_made(result, pipeline),
            "seconds": rounded(own),
        }
        write_text(clip.manifest or manifest_path(clip.path), json.dumps(manifest, indent=2) + "\n")
    for stage, value in own.items():
        seconds[stage] = seconds.get(stage, 0.0) + value
    return {**manifest, "path": str(clip.path)}


def made_so(request: "GenerationRequest", pipeline: "TextToVideoPipeline") -> dict[str, Any]:
    """What every manifest of a request says that decides the clip, beside prompt and seed.

    The device is not in it: another one rounds otherwise, and may go on with a folder.
    """
    from rufous.core.config import to_json_dict

    return {
        "manifest_id": pipeline.manifest.id,
        "negative_prompt": request.negative_prompt,
        "num_frames": request.num_frames,
        "height": request.height,
        "width": request.width,
        "fps": request.written_fps,
        "network_fps": request.fps,
        "sampling": to_json_dict(request.sampling),
        "embedded_guidance_scale": request.embedded_guidance_scale,
        "dtype": _dtype_name(pipeline),
    }


def rounded(seconds: dict[str, float]) -> dict[str, float]:
    """Times to a tenth of a millisecond, for reports."""
    return {stage: round(value, 4) for stage, value in seconds.items()}


def _how_it_was_made(result: "TextToVideoOutput", pipeline: "TextToVideoPipeline") -> dict[str, Any]:
    """Everything that is needed to make the clip again."""
    import torch

    import rufous
    from rufous.core.config import to_json_dict

    request = result.request
    return {
        "model": pipeline.manifest.name,
        "negative_prompt": request.negative_prompt,
        "num_frames": request.num_frames,
        "height": request.height,
        "width": request.width,
        "fps": result.fps,
        "network_fps": request.fps,
        "sampling": to_json_dict(request.sampling),
        "embedded_guidance_scale": request.embedded_guidance_scale,
        "device": pipeline.device.type,
        "dtype": _dtype_name(pipeline),
        "rufous_version": rufous.__version__,
        "torch_version": torch.__version__,
    }


def _dtype_name(pipeline: "TextToVideoPipeline") -> str:
    return str(pipeline.dtype).removeprefix("torch.")

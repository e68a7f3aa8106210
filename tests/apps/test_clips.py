"""The file of one clip and its manifest."""

import json
from pathlib import Path

import pytest
import torch

from rufous.apps.clips import Clip, made_so, write_clip
from rufous.core.files import sha256_of
from rufous.pipelines import TextToVideoPipeline


def test_the_manifest_holds_what_is_needed_to_make_the_clip_again(
    tiny_pipeline: TextToVideoPipeline, tmp_path: Path
):
    clip = Clip(prompt="a star", seed=3, path=tmp_path / "star.mp4")
    result = tiny_pipeline(clip.prompt, generator=torch.Generator().manual_seed(clip.seed))
    seconds = {"load": 1.0, "write": 2.0}
    report = write_clip(clip, result, tiny_pipeline, seconds=seconds)
    manifest = json.loads((tmp_path / "star.json").read_text())
    assert report == {**manifest, "path": str(clip.path)}
    assert manifest["sha256"] == sha256_of(clip.path)
    assert manifest["sampling"]["guidance_scale"] == 4.0
    assert (manifest["num_frames"], manifest["height"], manifest["width"]) == (4, 16, 16)
    assert seconds["load"] == 1.0
    assert seconds["write"] > 2.0
    assert seconds["denoise"] > 0


def test_a_clip_is_there_only_with_its_manifest(
    tiny_pipeline: TextToVideoPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    clip = Clip(prompt="a star", seed=3, path=tmp_path / "star.mp4")
    result = tiny_pipeline(clip.prompt, generator=torch.Generator().manual_seed(clip.seed))

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rufous.core.files.write_text", stopped)
    with pytest.raises(KeyboardInterrupt):
        write_clip(clip, result, tiny_pipeline, seconds={})
    assert list(tmp_path.iterdir()) == []


def test_the_manifest_says_all_that_decides_the_pixels(tiny_pipeline: TextToVideoPipeline, tmp_path: Path):
    clip = Clip(prompt="a star", seed=3, path=tmp_path / "star.mp4")
    result = tiny_pipeline(clip.prompt, generator=torch.Generator().manual_seed(clip.seed))
    manifest = write_clip(clip, result, tiny_pipeline, seconds={})
    decided = made_so(result.request, tiny_pipeline)
    assert decided.items() <= manifest.items()
    assert decided["dtype"] == "float32"

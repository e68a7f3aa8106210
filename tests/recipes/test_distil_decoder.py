from dataclasses import replace

import pytest
import torch

from rufous.checkpoints.manifest import Manifest
from rufous.checkpoints.release import load_config, verify_release
from rufous.core.errors import ConfigError
from rufous.data.video_clips import VideoClips
from rufous.recipes import RECIPES
from rufous.recipes.distil_unet import UNVERIFIED
from tests.recipes.conftest import brief
from tests.recipes.videos import decoder_settings

CPU = torch.device("cpu")


def test_it_makes_a_decoder_of_the_releases_latents_and_compares_it_on_clips_it_did_not_see(
    miniature, tmp_path, monkeypatch
):
    opened = []

    class Noted(VideoClips):
        def __init__(self, records, *args, **kwargs):
            opened.append({record.source for record in records})
            super().__init__(records, *args, **kwargs)

    monkeypatch.setattr("rufous.recipes.distil_decoder.VideoClips", Noted)
    folder = RECIPES["distil_decoder"].run(decoder_settings(miniature, brief(3)), tmp_path, CPU)
    trained_on, held_out = opened
    assert (len(trained_on), len(held_out), trained_on & held_out) == (2, 2, set())
    verify_release(folder)
    manifest = Manifest.load(folder)
    assert [parent.manifest_id for parent in manifest.parents] == [Manifest.load(miniature.teacher).id]
    assert manifest.notes == (UNVERIFIED,)
    assert {"psnr_to_full", "flicker_to_real", "full_ms_per_clip"} <= set(manifest.figures)
    tiny, full = load_config(folder, "tiny_decoder"), load_config(miniature.teacher, "vae")
    tiny.check_fits(full)
    with pytest.raises(ConfigError, match="does not fit"):
        tiny.check_fits(replace(full, latent_channels=16))


def test_settings_that_leave_nothing_to_train_or_compare_are_refused(miniature, tmp_path):
    with pytest.raises(ConfigError, match="exactly one"):
        decoder_settings(miniature, brief(3), data=miniature.data)
    with pytest.raises(ConfigError, match="use 1 or more"):
        decoder_settings(miniature, brief(3), num_validation_clips=0)
    (part,) = decoder_settings(miniature, brief(3)).data.sets
    single = replace(part, sampling=replace(part.sampling, num_frames=1))
    with pytest.raises(ConfigError, match="num_frames=2 or more"):
        decoder_settings(miniature, brief(3), data=replace(miniature.data, sets=(single,)))
    too_many = decoder_settings(miniature, brief(3), num_validation_clips=4)
    with pytest.raises(ConfigError, match="has 4 clips, of which num_validation_clips=4"):
        RECIPES["distil_decoder"].run(too_many, tmp_path, CPU)
    assert not list(tmp_path.iterdir())

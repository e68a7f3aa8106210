import json
from dataclasses import replace

import numpy as np
import pytest

from rufous.core.errors import ConfigError
from rufous.data.buckets import BucketConfig, BucketRule
from rufous.data.stages.registry import STAGES
from rufous.recipes import RECIPES
from rufous.recipes.world_clips import WorldClipsConfig
from rufous.recipes.world_curation_gain import CurationGainConfig, GainPhase, gain_report, markdown
from rufous.recipes.world_curation_set import CurationSetConfig
from rufous.recipes.world_truth import WorldTruthConfig
from tests.recipes.conftest import CPU, brief
from tests.recipes.toy_stages import Edges
from tests.tiny_release import TINY_UNET


def test_a_difference_is_paired_and_one_that_is_chance_seems_none():
    rng = np.random.default_rng(0)
    prompts = rng.uniform(size=400)  # how hard a prompt is counts for both
    raw, curated = (rng.uniform(size=400) < 0.5 * prompts for _ in range(2))
    better = raw | (rng.uniform(size=400) < 0.1)
    report = gain_report({"raw": raw.astype(float), "curated": better.astype(float)})
    low, high = report["gain"]["curated over raw"]["interval_95"]
    assert 0.04 < low < report["gain"]["curated over raw"]["mean"] < high < 0.13
    chance = gain_report({"raw": raw.astype(float), "curated": curated.astype(float)})
    low, high = chance["gain"]["curated over raw"]["interval_95"]
    assert low < 0 < high
    page = markdown({**report, "curation": {"blur": {"clips": 3, "dropped": 1.0}}})
    assert "| curated over raw | +0." in page
    assert "| blur | 3 | 1.000 |" in page


def toy(tiny_release) -> CurationGainConfig:
    def phase(*lengths):
        rules = tuple(
            BucketRule(resolution="16x16", num_frames=frames, batch_size=2, reach=0.5) for frames in lengths
        )
        buckets = BucketConfig(rules=rules, aspects=("1:1",), multiple=8, stills=True)
        return GainPhase(buckets=buckets, train=brief(1))

    return CurationGainConfig(
        data=CurationSetConfig(
            clips=WorldClipsConfig(num_clips=16, captions_per_clip=2, num_frames=4, size=16),
            steps=("edges", "edges_jump<=1"),
            num_workers=0,
        ),
        start=str(tiny_release),
        network=replace(TINY_UNET, model_channels=12),
        phases=(phase(1), phase(4, 1)),
        arms=("raw", "curated"),
        views=1,
        truth=WorldTruthConfig(num_prompts=4, num_frames=4, num_inference_steps=1),
    )


def test_arms_are_trained_and_judged_alike_and_only_once(tiny_release, tmp_path, monkeypatch):
    monkeypatch.setitem(STAGES, "edges", Edges)
    page = RECIPES["world_curation_gain"].run(toy(tiny_release), tmp_path, CPU)
    report = json.loads((tmp_path / "gain.json").read_text())
    assert set(report["truth"]) == {"raw", "curated"}
    assert set(report["gain"]) == {"curated over raw"}
    assert report["truth"]["raw"]["prompts"] == 4
    assert sum(row["clips"] for row in report["curation"].values()) == 16
    assert report["curation"]["dolly_zoom"] == {"clips": 2, "dropped": 1.0}
    marks = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/right.json")}
    assert len(marks) == 2
    monkeypatch.setattr(
        "rufous.recipes.world_curation_gain.load", lambda *_, **__: pytest.fail("judged twice")
    )
    assert RECIPES["world_curation_gain"].run(toy(tiny_release), tmp_path, CPU) == page
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/right.json")} == marks


def test_settings_that_make_no_sense_are_refused(tmp_path):
    with pytest.raises(ValueError, match="arms="):
        CurationGainConfig(arms=("clean",))
    with pytest.raises(ValueError, match="at least one phase"):
        CurationGainConfig(seeds=())
    config = CurationGainConfig(data=CurationSetConfig(steps=("rust",)))
    with pytest.raises(ConfigError, match="rust cannot run here"):
        RECIPES["world_curation_gain"].run(config, tmp_path, CPU)

"""What curation is worth: one small model trained on a raw set and on what curation leaves of it.

    rufous train world_curation_gain
    rufous train world_curation_gain 'data.steps=["technical", "technical_sharpness>=0.5"]'
    rufous prune world-teacher -o runs/pruned --budget=-45%
    rufous train world_curation_gain --preset pruned

Of the world's clips 40 % are damaged: blurred, flashing, with a dolly zoom, or with another clip's caption
(``world_curation_set``). The same network is trained from the same weights for equally many steps on the raw
set, on the curated one, and on the one that an oracle leaves; all are judged on the same prompts with the
same noise. ``run_dir/gain.md`` says how much more is true, with a 95 % interval by a bootstrap over the
prompts. It holds for these trainings: more ``seeds`` tell how much chance is in a training.

From random weights a network needs hours until its clips show anything whole. The preset ``pruned`` begins
with a network that lost 45 % of its weights: it still draws the world's things, but moves them half as far
(docs/benchmarks.md). In minutes a set shows what it teaches.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rufous.checkpoints.manifest import Manifest
from rufous.core.config import to_json_dict
from rufous.core.console import logger
from rufous.core.files import write_text
from rufous.data.buckets import BucketConfig, BucketRule
from rufous.data.curated_clips import CuratedSampling
from rufous.data.manifest import read_manifest
from rufous.evaluation.bootstrap import mean_interval
from rufous.networks.unet3d import UNet3DConfig
from rufous.pipelines.loading import load
from rufous.recipes import curated
from rufous.recipes.curated import CuratedConfig
from rufous.recipes.curated_batches import CacheConfig, CuratedDataConfig
from rufous.recipes.processes import Processes, joined
from rufous.recipes.recipe import Recipe
from rufous.recipes.world_curation_set import (
    ARMS,
    CurationSetConfig,
    caption_kinds,
    curation_figures,
    make_sets,
    plan_of,
)
from rufous.recipes.world_teacher import WORLD_UNET
from rufous.recipes.world_truth import WorldTruthConfig, samples_of
from rufous.training.loop import TrainConfig
from rufous.training.optim import OptimizerConfig
from rufous.training.parallel import barrier, gathered
from rufous.world.scene import Split
from rufous.world.truth import Verdict

SPLITS: tuple[Split, ...] = ("train", "held_out")
_log = logger(__name__)


@dataclass(frozen=True, kw_only=True)
class GainPhase:
    """One training of each arm; the next one goes on with its weights."""

    buckets: BucketConfig
    train: TrainConfig


_MUON = OptimizerConfig(name="muon", learning_rate=2e-3, warmup_steps=50)
_STILLS = BucketConfig(
    rules=(BucketRule(resolution="64x64", num_frames=1, batch_size=64),),
    aspects=("1:1",),
    stills=True,
)
_CLIPS = BucketConfig(
    rules=(
        BucketRule(resolution="64x64", num_frames=16, reach=0.4, batch_size=12),
        BucketRule(resolution="64x64", num_frames=1, batch_size=64),
    ),
    aspects=("1:1",),
    stills=True,
)


@dataclass(frozen=True, kw_only=True)
class CurationGainConfig:
    """Settings of the experiment."""

    data: CurationSetConfig = field(default_factory=CurationSetConfig)
    arms: tuple[str, ...] = ARMS
    start: str = "world-teacher"
    """Gives autoencoder and text tower; its U-Net too, if ``fresh`` is false."""
    fresh: bool = True
    network: UNet3DConfig | None = WORLD_UNET
    """With ``fresh`` only."""
    phases: tuple[GainPhase, ...] = (
        GainPhase(
            buckets=_STILLS,
            train=TrainConfig(num_steps=2_000, optimizer=_MUON, ema_decay=0.99, save_every=500),
        ),
        GainPhase(
            buckets=_CLIPS,
            train=TrainConfig(
                num_steps=2_000,
                optimizer=replace(_MUON, schedule="wsd", decay_steps=700),
                ema_decay=0.995,
                save_every=500,
            ),
        ),
    )
    views: int = 4
    """Epochs that are encoded, each with other stills and captions."""
    seeds: tuple[int, ...] = (15,)
    """One training of each arm for each."""
    truth: WorldTruthConfig = field(default_factory=WorldTruthConfig)
    """How arms are judged; ``model`` is filled in."""

    def __post_init__(self) -> None:
        if not self.arms or not set(self.arms) <= set(ARMS):
            raise ValueError(f"arms={self.arms}: use some of {', '.join(ARMS)}")
        if not self.phases or not self.seeds:
            raise ValueError("give at least one phase and one seed")


def run(config: CurationGainConfig, run_dir: Path, device: torch.device) -> Path:
    """Make the sets, train and judge what is left to do, and write ``run_dir/gain.md`` and ``gain.json``.

    Raises:
        ConfigError: No such stage, or a filter of a value that none gives.
    """
    plan_of(config.data)
    with joined(device) as processes:
        with processes.first_alone():
            make_sets(config.data, run_dir / "set")
        right = {
            arm: np.mean([_right(config, run_dir, arm, seed, processes) for seed in config.seeds], axis=0)
            for arm in config.arms
        }
        report = gain_report(right)
        report["curation"] = curation_figures(list(read_manifest(run_dir / "set" / "curated.jsonl")))
        if processes.is_first:
            told = {"config": to_json_dict(config), **report}
            write_text(run_dir / "gain.json", json.dumps(told, indent=1) + "\n")
            write_text(run_dir / "gain.md", markdown(report))
            _log.info("what curation is worth:\n%s", markdown(report))
        barrier()
    return run_dir / "gain.md"


def gain_report(right: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Truth of each arm and the paired difference of each two, with 95 % intervals.

    Args:
        right: Of each arm and prompt, 1 where the clip shows all that the prompt says; a mean over trainings.
    """
    pairs = [("raw", "curated"), ("raw", "oracle"), ("curated", "oracle")]
    return {
        "truth": {arm: _figures(found) for arm, found in right.items()},
        "gain": {
            f"{after} over {before}": _figures(right[after] - right[before])
            for before, after in pairs
            if before in right and after in right
        },
    }


def markdown(report: Mapping[str, Any]) -> str:
    """The report for a reader."""
    lines = ["| | all right | 95 % interval |", "|---|---|---|"]
    for part in ("truth", "gain"):
        for name, found in report[part].items():
            low, high = found["interval_95"]
            lines.append(f"| {name} | {found['mean']:+.3f} | {low:+.3f} to {high:+.3f} |")
    lines += ["", "| damage | clips | dropped |", "|---|---|---|"]
    for kind, found in report["curation"].items():
        lines.append(f"| {kind} | {found['clips']} | {found['dropped']:.3f} |")
    return "\n".join(lines) + "\n"


def _figures(values: np.ndarray) -> dict[str, Any]:
    low, high = mean_interval(values) or (float(values[0]), float(values[0]))
    return {
        "mean": round(float(values.mean()), 4),
        "interval_95": [round(low, 4), round(high, 4)],
        "prompts": len(values),
    }


def _right(
    config: CurationGainConfig, run_dir: Path, arm: str, seed: int, processes: Processes
) -> list[float]:
    """Of each prompt, whether the arm's clip shows all of it; trained and judged only once."""
    folder = run_dir / f"{arm}-{seed}"
    release = _trained(config, run_dir, arm, seed, processes.device)
    judged = folder / "right.json"
    truth = replace(config.truth, model=str(release))
    made_of = json.loads(json.dumps({"release": Manifest.load(release).id, "truth": to_json_dict(truth)}))
    known = json.loads(judged.read_text(encoding="utf-8")) if judged.is_file() else {}
    barrier()
    if known.get("made_of") == made_of:
        return known["right"]
    pipe = load(release, device=str(processes.device))
    found: list[float] = []
    for split in SPLITS:
        samples, _ = samples_of(pipe, truth, split)
        told = [(each.index, _all_right(each.judged.verdict)) for each in samples]
        found += [value for _, value in sorted(gathered(told))]
    if processes.is_first:
        write_text(judged, json.dumps({"made_of": made_of, "right": found}))
    barrier()
    return found


def _all_right(verdict: Verdict | None) -> float:
    return float(verdict is not None and verdict.all_right)


def _trained(config: CurationGainConfig, run_dir: Path, arm: str, seed: int, device: torch.device) -> Path:
    """The release that the last phase of an arm wrote."""
    release = config.start
    kinds = caption_kinds(config.data.clips)
    for number, phase in enumerate(config.phases):
        is_fresh = config.fresh and number == 0
        settings = CuratedConfig(
            start=release,
            fresh=is_fresh,
            network=config.network if is_fresh else None,
            data=CuratedDataConfig(
                manifest=str(run_dir / "set" / f"{arm}.jsonl"),
                sampling=CuratedSampling(captions=dict.fromkeys(kinds, 1.0)),
                buckets=phase.buckets,
                cache_dir=str(run_dir / f"{arm}-{seed}" / f"cache_{number}"),
                cache=CacheConfig(views=config.views),
            ),
            train=phase.train,
            seed=seed,
        )
        release = str(curated.run(settings, run_dir / f"{arm}-{seed}" / f"phase_{number}", device))
    return Path(release)


FULL = CurationGainConfig()
PRUNED = CurationGainConfig(
    start="runs/pruned",
    fresh=False,
    network=None,
    phases=(
        GainPhase(
            buckets=BucketConfig(
                rules=(BucketRule(resolution="64x64", num_frames=16, batch_size=12),), aspects=("1:1",)
            ),
            train=TrainConfig(
                num_steps=600,
                optimizer=replace(_MUON, schedule="wsd", decay_steps=300),
                ema_decay=0.99,
                save_every=100,
            ),
        ),
    ),
    views=1,
)
RECIPE = Recipe(
    name="world_curation_gain",
    summary="What curation is worth: a small model trained on a raw and on a curated set.",
    config=FULL,
    presets={"full": FULL, "pruned": PRUNED},
    run=run,
)

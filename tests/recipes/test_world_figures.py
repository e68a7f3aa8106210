import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from rufous.core.errors import ConfigError
from rufous.recipes import RECIPES
from rufous.recipes.world_figures import WorldFiguresConfig, figures_of

CPU = torch.device("cpu")
NUM_PROMPTS = 400


def judged(folder, *, share, motion, spread, seed):
    """A run of ``world_truth`` whose features are ``spread`` away from the real ones' scale."""
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    half = NUM_PROMPTS // 2
    right = [int(value) for value in rng.uniform(size=NUM_PROMPTS) < share]
    moved = [float(value) for value in rng.normal(motion, 0.05, size=NUM_PROMPTS)]
    found = {
        name: {"seen": values[:half], "held_out": values[half:]}
        for name, values in (("right_by_clip", right), ("motion_by_clip", moved))
    }
    folder.mkdir(parents=True)
    (folder / "truth.json").write_text(json.dumps(found))
    real = torch.randn(NUM_PROMPTS, 4, generator=torch.Generator().manual_seed(0))
    made = torch.randn(NUM_PROMPTS, 4, generator=generator) * (1 + spread)
    save_file({"made": made, "real": real}, folder / "features.safetensors")
    return right, moved


@pytest.fixture
def config(tmp_path) -> WorldFiguresConfig:
    judged(tmp_path / "teacher", share=0.8, motion=0.25, spread=0.5, seed=1)
    judged(tmp_path / "student", share=0.8, motion=0.25, spread=0.5, seed=2)
    judged(tmp_path / "fewer", share=0.4, motion=0.25, spread=0.5, seed=3)
    judged(tmp_path / "longer", share=0.7, motion=0.25, spread=0.5, seed=4)
    return WorldFiguresConfig(
        teacher=str(tmp_path / "teacher"),
        student=str(tmp_path / "student"),
        fewer_steps=str(tmp_path / "fewer"),
        longer=str(tmp_path / "longer"),
    )


def test_ratios_and_their_intervals_hold_what_the_runs_were_drawn_with(config, tmp_path):
    truth, fewer, longer, motion, frechet = figures_of(config)
    for figure, drawn in ((truth, 1.0), (fewer, 0.5), (longer, 0.875), (motion, 1.0), (frechet, 1.0)):
        assert figure.low < drawn < figure.high
        assert figure.low < figure.value < figure.high
    assert truth.high - truth.low < 0.2
    assert motion.high - motion.low < 0.1  # of all, motion is known best
    page = RECIPES["world_figures"].run(config, tmp_path / "run", CPU).read_text()
    assert page.count("\n") == 7
    assert f"| {truth.name} | {truth.value:.3f} |" in page


def test_runs_that_cannot_be_compared_are_refused(config, tmp_path):
    path = tmp_path / "longer" / "truth.json"
    found = json.loads(path.read_text())
    found["right_by_clip"]["seen"].pop()
    path.write_text(json.dumps(found))
    with pytest.raises(ConfigError, match="different numbers of prompts"):
        figures_of(config)
    path.write_text("{}")
    with pytest.raises(ConfigError, match="run world_truth again"):
        figures_of(config)
    path.unlink()
    with pytest.raises(ConfigError, match="is missing: run world_truth"):
        figures_of(config)
    (tmp_path / "student" / "features.safetensors").unlink()
    judged(tmp_path / "other", share=0.7, motion=0.25, spread=0.5, seed=4)
    with pytest.raises(ConfigError, match="features=world-video-text"):
        figures_of(WorldFiguresConfig(**{**vars(config), "longer": str(tmp_path / "other")}))

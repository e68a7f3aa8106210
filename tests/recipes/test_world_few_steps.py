import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

import rufous
from rufous.apps import cli
from rufous.checkpoints import Manifest, save_release, video_text
from rufous.checkpoints.release import load_component, load_config, verify_release
from rufous.core.config import to_json_dict
from rufous.core.errors import ConfigError
from rufous.distillation.distribution_matching import DistributionMatchingObjective
from rufous.distillation.teaching import GuidanceRange
from rufous.networks.tiny_decoder import TinyDecoder, TinyDecoderConfig
from rufous.recipes import RECIPES, few_steps, watching, world_few_steps
from rufous.recipes.world_few_steps import WorldFewStepsConfig
from rufous.rewards import world
from rufous.rewards.feedback import GuardConfig
from tests.recipes.conftest import brief

CPU = torch.device("cpu")


def figures(truth, motion_magnitude, looks):
    """Of each of eight clips, all alike."""
    found = {"truth": truth, "motion_magnitude": motion_magnitude, "reward_world_image_text": looks}
    return {name: [value] * 8 for name, value in found.items()}


FIGURES = figures(0.6, 0.4, 0.7)


def with_feedback(config: WorldFewStepsConfig, **changes) -> WorldFewStepsConfig:
    feedback = replace(config.feedback, video_text=1.0, **changes)
    return replace(config, method="consistency", feedback=feedback, train=brief(1))


def saved_objective(run_dir):
    newest = max(run_dir.glob("checkpoints/step-*"))
    return json.loads((newest / "state.json").read_text())["values"]["objective"]


def spied_student_losses(monkeypatch):
    """Step and number of frames of each loss of the student by distribution matching."""
    found = []
    original = DistributionMatchingObjective._student_loss

    def spy(self, made, *others):
        found.append((self._step, made.shape[2]))
        return original(self, made, *others)

    monkeypatch.setattr(DistributionMatchingObjective, "_student_loss", spy)
    return found


def check_student(folder):
    verify_release(folder)
    sampling = load_config(folder, "diffusion").sampling
    assert (sampling.solver, sampling.num_inference_steps, sampling.guidance_scale) == ("lcm", 4, 1.0)
    pipe = rufous.load(folder, device="cpu")
    clip = pipe("a red circle moving left", generator=torch.Generator().manual_seed(0)).frames[0]
    assert clip.shape == (4, 3, 32, 32)


def test_distribution_matching_has_clips_of_every_length_in_each_step_of_the_student(
    student_road, tmp_path, monkeypatch
):
    lengths = spied_student_losses(monkeypatch)
    config = replace(student_road.few_steps, train=replace(brief(2), accumulation=2, validate_every=0))
    check_student(RECIPES["world_few_steps"].run(config, tmp_path, CPU))
    assert lengths == [(0, 4), (0, 6)]


def test_distribution_matching_learns_a_range_of_scales_and_from_one_set(student_road, tmp_path, monkeypatch):
    lengths = spied_student_losses(monkeypatch)
    config = replace(
        student_road.few_steps,
        guidance=GuidanceRange(2.0, 6.0, 16),
        sets=student_road.few_steps.sets[1:],
        train=replace(brief(1), accumulation=2, validate_every=0),
    )
    folder = RECIPES["world_few_steps"].run(config, tmp_path, CPU)
    assert lengths == [(0, 6), (0, 6)]
    assert load_config(folder, "unet").guidance_embed_dim == 16
    weights = tmp_path / "checkpoints" / "step-00000001" / "weights.safetensors"
    with safe_open(weights, "pt") as saved:  # the critic is told the scale too, and learns from it
        assert saved.get_tensor("critic.time_cond_proj.weight").abs().sum() > 0


def test_validation_measures_truth_motion_and_both_rewards_with_what_is_loaded_once(
    student_road, tmp_path, monkeypatch
):
    loaded = []
    for module in (world, video_text, watching, few_steps):
        original = module.load_component

        def load(folder, name, _original=original, **options):
            loaded.append(name)
            return _original(folder, name, **options)

        monkeypatch.setattr(module, "load_component", load)
    check_student(RECIPES["world_few_steps"].run(with_feedback(student_road.few_steps), tmp_path, CPU))
    assert sorted(loaded) == ["autoencoder", "tokenizer", "video_text"]
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    validated = next(row for row in rows if "truth" in row)
    assert {"motion_magnitude", "reward_world_image_text", "reward_world_video_text"} <= set(validated)
    assert validated["truth"] == (validated["truth_4"] + validated["truth_6"]) / 2
    trained = next(row for row in rows if "consistency" in row)
    assert {"reward", "reward_world_video_text", "feedback_strength"} <= set(trained)


def test_the_guard_compares_with_the_teacher_and_the_student_before_the_first_step(
    student_road, tmp_path, monkeypatch
):
    measured = []

    def measure_model(pipe, counts, rewards):
        assert counts == {4: 1, 6: 1}  # a clip of each length that is trained on
        steps = pipe.diffusion.sampling.num_inference_steps
        measured.append((steps, (tmp_path / "metrics.jsonl").exists()))
        # two steps are the teacher's, four the student's, which moves less from the beginning
        return figures(0.9, 0.5, 0.8) if steps == 2 else FIGURES

    monkeypatch.setattr(world_few_steps, "measure_model", measure_model)
    config = with_feedback(student_road.few_steps)
    RECIPES["world_few_steps"].run(config, tmp_path, CPU)
    assert measured == [(2, False), (4, False), (4, True)]
    strayed = {"motion_magnitude": [0.5, 0.4]}
    before = {"baseline": figures(0.6, 0.5, 0.7), "strayed": strayed}
    assert saved_objective(tmp_path)["feedback"] == {"strength": 0.5, "num_falls": 1, **before}

    measured.clear()
    longer = replace(config, train=replace(config.train, num_steps=2))
    RECIPES["world_few_steps"].run(longer, tmp_path, CPU)
    assert measured == [(4, True)]  # a resumed run has the baseline from its checkpoint
    assert saved_objective(tmp_path)["feedback"] == {"strength": 0.25, "num_falls": 2, **before}


def test_a_student_that_has_fallen_is_released_with_its_figures_and_a_warning(
    student_road, tmp_path, monkeypatch, caplog
):
    found = iter([figures(0.6, 0.5, 0.7), figures(0.6, 0.5, 0.7), FIGURES])  # teacher, student, validation
    monkeypatch.setattr(world_few_steps, "measure_model", lambda *args: next(found))
    config = with_feedback(student_road.few_steps)
    release = RECIPES["world_few_steps"].run(config, tmp_path, CPU)
    manifest = Manifest.load(release)
    assert manifest.figures == {
        "steps": 1,
        "validation": {"step": 1, "truth": 0.6, "motion_magnitude": 0.4, "reward_world_image_text": 0.7},
        "feedback": {"strength": 0.5, "num_falls": 1, "strayed": {"motion_magnitude": [0.5, 0.4]}},
    }
    told = "release is of a student that had strayed at its last validation: motion_magnitude from 0.5 to 0.4"
    assert caplog.text.count(told) == 1
    assert RECIPES["world_few_steps"].run(config, tmp_path, CPU) == release  # writes it again
    assert Manifest.load(release) == manifest
    assert caplog.text.count(told) == 2


def test_what_shaped_a_student_by_feedback_is_among_its_parents(student_road, road, tmp_path, monkeypatch):
    autoencoder = load_component(road.latents.autoencoder, "autoencoder")
    tiny = TinyDecoder(TinyDecoderConfig.fitting(autoencoder.config, width=8, blocks_per_stage=1))
    save_release(tmp_path / "tiny", {"tiny_decoder": tiny}, Manifest(name="tiny"))
    monkeypatch.setattr(world_few_steps, "measure_model", lambda *args: FIGURES)
    config = with_feedback(student_road.few_steps, tiny_decoder=str(tmp_path / "tiny"))
    folder = RECIPES["world_few_steps"].run(config, tmp_path / "run", CPU)
    expected = {
        "teacher": config.teacher,
        "student": config.student,
        "rewards": config.feedback.rewards,
        "tiny_decoder": tmp_path / "tiny",
    }
    found = {parent.role: parent.manifest_id for parent in Manifest.load(folder).parents}
    assert found == {role: Manifest.load(release).id for role, release in expected.items()}


def test_feedback_goes_on_from_the_run_before_it_by_the_commands_of_the_documentation(
    student_road, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(world_few_steps, "measure_model", lambda *args: FIGURES)
    toy = student_road.few_steps
    small = ["train.num_steps=1", "train.validate_every=1", "train.dtype=fp32", "num_validation_clips=2"]
    settings = [*small, f"teacher={toy.teacher}", f"feedback.rewards={toy.feedback.rewards}"]
    settings.append(f"sets={json.dumps(to_json_dict(toy.sets))}")
    first = ["train", "world_few_steps", "--device", "cpu", *settings]
    assert cli.run([*first, f"student={toy.student}"]) == cli.DONE
    assert cli.run([*first, "--preset", "feedback"]) == cli.DONE
    parents = {
        parent.role: parent.manifest_id
        for parent in Manifest.load("runs/world_few_steps_feedback/release").parents
    }
    before = {"student": "release", "critic": "critic"}
    for role, folder in before.items():
        assert parents[role] == Manifest.load(Path("runs/world_few_steps") / folder).id
    rate = RECIPES["world_few_steps"].preset("feedback").train.optimizer.learning_rate
    assert rate == 0.5 * world_few_steps.SMALL.train.optimizer.learning_rate


def test_settings_by_which_the_student_would_never_see_a_set_are_refused():
    usual = RECIPES["world_few_steps"].config
    assert (usual.train.accumulation, len(usual.sets)) == (2, 2)
    single = replace(usual.train, accumulation=1)
    with pytest.raises(ValueError, match=r"clips of all 2 sets; use train\.accumulation=2"):
        replace(usual, train=single)
    replace(usual, train=single, student_every=5)  # takes turns by itself
    replace(usual, train=single, sets=usual.sets[:1])
    replace(usual, train=single, method="consistency")


def test_a_guard_that_could_not_watch_is_refused():
    usual = RECIPES["world_few_steps"].preset("feedback")
    never = replace(usual.train, validate_every=0)
    late = replace(usual.train, num_steps=99)
    with pytest.raises(ConfigError, match=r"train\.validate_every=0: the guard watches at validations"):
        replace(usual, train=never)
    with pytest.raises(ConfigError, match=r"train\.validate_every=100: .* from 1 to num_steps=99"):
        replace(usual, train=late)
    replace(usual, train=replace(late, num_steps=100))
    replace(usual, train=never, feedback=replace(usual.feedback, guard=None))
    misspelt = GuardConfig(lowest={"motion": 0.95})
    with pytest.raises(
        ValueError, match="guard: motion is not measured: use truth, motion_magnitude, reward"
    ):
        replace(usual, feedback=replace(usual.feedback, guard=misspelt))


def test_feedback_without_a_guard_measures_no_baseline(student_road, tmp_path, monkeypatch):
    measured = []
    monkeypatch.setattr(world_few_steps, "measure_model", lambda *args: measured.append(args) or FIGURES)
    RECIPES["world_few_steps"].run(with_feedback(student_road.few_steps, guard=None), tmp_path, CPU)
    assert len(measured) == 1


def test_a_guidance_embedding_is_trained_saved_and_told_at_sampling(student_road, tmp_path):
    config = replace(
        student_road.few_steps,
        method="consistency",
        guidance=GuidanceRange(2.0, 6.0, 16),
        train=replace(brief(1), validate_every=0),
    )
    folder = RECIPES["world_few_steps"].run(config, tmp_path, CPU)
    assert load_config(folder, "unet").guidance_embed_dim == 16
    assert load_config(folder, "diffusion").embedded_guidance_scale == 3.0
    assert rufous.load(folder, device="cpu").unet.time_cond_proj.weight.abs().sum() > 0

from dataclasses import dataclass

import pytest
import torch

from rufous.core.errors import ConfigError
from rufous.rewards.feedback import GuardConfig, RewardFeedback, chance_of
from rufous.rewards.reward import Mixture, Weighted


class Brightness:
    """The mean of all pixels."""

    name = "brightness"

    def score(self, video, prompts):
        return video.mean(dim=(1, 2, 3, 4))


class Redness(Brightness):
    name = "redness"

    def score(self, video, prompts):
        return video[:, 0].mean(dim=(1, 2, 3))


@dataclass
class Batch:
    prompts: list[str] | None


GUARD = GuardConfig(lowest={"motion_magnitude": 0.9}, lowest_held_out=None, num_falls=2)


def clips(figures: dict[str, float]) -> dict[str, list[float]]:
    """Of eight clips, all alike."""
    return {name: [value] * 8 for name, value in figures.items()}


def feedback(**options) -> RewardFeedback:
    mixture = Mixture([Weighted(reward=Brightness(), weight=2.0), Weighted(reward=Redness(), weight=0.0)])
    return RewardFeedback(mixture, lambda latents: latents[:, :3].clamp(-1, 1), **options)


def call(term: RewardFeedback, latents: torch.Tensor):
    return term(latents, Batch(["a red circle"] * len(latents)), torch.Generator().manual_seed(0))


def test_the_loss_is_minus_the_mixtures_mean_and_reaches_the_latents():
    latents = torch.full((2, 4, 3, 2, 2), 0.25, requires_grad=True)
    loss, metrics = call(feedback(strength=3.0), latents)
    assert loss.item() == pytest.approx(-3.0 * 2.0 * 0.25)
    loss.backward()
    assert latents.grad is not None
    assert float(latents.grad[:, :3].sum()) == pytest.approx(-6.0)  # whatever the size, as a mean's gradient
    assert float(metrics["reward_brightness"]) == pytest.approx(0.25)
    assert float(metrics["reward_redness"]) == pytest.approx(0.25)
    assert metrics["feedback_strength"] == 3.0


def test_the_gradient_is_the_one_that_a_plain_backward_pass_gives():
    term, generator = feedback(strength=0.5), torch.Generator().manual_seed(1)
    latents = 2 * torch.randn(2, 4, 3, 2, 2, generator=generator)  # some pixels saturate
    latents.requires_grad_()
    loss, metrics = call(term, (latents * 3).tanh())
    (gradient,) = torch.autograd.grad(loss, latents)
    plain = -0.5 * 2.0 * (latents * 3).tanh()[:, :3].clamp(-1, 1).mean()
    (wanted,) = torch.autograd.grad(plain, latents)
    torch.testing.assert_close(gradient, wanted)
    assert loss.item() == pytest.approx(plain.item())
    of_a_clip = 0.5 * 2.0 / 2 * (3 * 3 * 2 * 2) ** -0.5  # each of 36 values has the same share of its mean
    assert float(metrics["feedback_pull"]) == pytest.approx(of_a_clip)


def test_without_captions_there_is_no_reward():
    with pytest.raises(ValueError, match="this batch has none"):
        feedback()(torch.zeros(1, 4, 1, 2, 2), Batch(None), torch.Generator())


def test_a_fall_halves_the_feedback_and_the_last_one_turns_it_off(caplog):
    term = feedback(guard=GUARD)
    term.compare_with(clips({"motion_magnitude": 0.2}))
    assert not term.watch(clips({"motion_magnitude": 0.185}))
    assert term.watch(clips({"motion_magnitude": 0.17}))
    assert term.strength == 0.5
    assert term.watch(clips({"motion_magnitude": 0.1}))
    assert term.strength == 0.0
    latents = torch.zeros(1, 4, 1, 2, 2, requires_grad=True)
    loss, _ = call(term, latents)
    assert loss.item() == 0.0


def test_what_strayed_at_the_last_validation_is_told_until_the_next_one():
    term = feedback(guard=GUARD)
    assert term.figures == {"strength": 1.0, "num_falls": 0, "strayed": {}}
    term.compare_with(clips({"motion_magnitude": 0.25}))
    term.watch(clips({"motion_magnitude": 0.125}))
    assert term.strayed == "motion_magnitude from 0.25 to 0.125"
    assert term.figures == {"strength": 0.5, "num_falls": 1, "strayed": {"motion_magnitude": [0.25, 0.125]}}
    term.watch(clips({"motion_magnitude": 0.25}))
    assert (term.strayed, term.figures) == ("", {"strength": 0.5, "num_falls": 1, "strayed": {}})
    assert feedback().figures == {"strength": 1.0}  # nothing watches


def test_the_first_validation_is_compared_already():
    term = feedback(guard=GUARD)
    term.compare_with(clips({"motion_magnitude": 1.0}))
    assert term.watch(clips({"motion_magnitude": 0.5}))
    unprepared = feedback(guard=GUARD)
    with pytest.raises(ValueError, match="call compare_with before the first step"):
        unprepared.watch(clips({"motion_magnitude": 0.5}))


def test_a_held_out_reward_is_watched_and_one_that_is_trained_on_is_not():
    term = feedback(guard=GuardConfig(lowest_held_out=0.9))  # redness has weight 0
    term.compare_with(clips({"reward_redness": 0.5, "reward_brightness": 0.5}))
    assert not term.watch(clips({"reward_redness": 0.46, "reward_brightness": 0.0}))
    assert term.watch(clips({"reward_redness": 0.44, "reward_brightness": 1.0}))
    with pytest.raises(KeyError, match="reward_redness"):
        term.watch(clips({"reward_brightness": 1.0}))


def test_numbers_that_are_none_count_as_fallen_or_are_refused():
    term = feedback(guard=GUARD)
    with pytest.raises(ValueError, match="measure finite numbers"):
        term.compare_with(clips({"motion_magnitude": float("nan")}))
    term.compare_with(clips({"motion_magnitude": 0.2}))
    assert term.watch(clips({"motion_magnitude": float("nan")}))


def test_a_negative_baseline_falls_downwards():
    term = feedback(guard=GUARD)
    term.compare_with(clips({"motion_magnitude": -0.5}))
    assert not term.watch(clips({"motion_magnitude": -0.54}))
    assert term.watch(clips({"motion_magnitude": -0.56}))


def test_a_saved_guard_goes_on():
    first = feedback(guard=GUARD)
    first.compare_with(clips({"motion_magnitude": 0.2}))
    first.watch(clips({"motion_magnitude": 0.1}))
    second = feedback(guard=GUARD)
    second.load_state_dict(first.state_dict())
    assert second.strength == 0.5
    assert second.figures == first.figures
    assert not second.watch(clips({"motion_magnitude": 0.19}))
    assert second.watch(clips({"motion_magnitude": 0.1}))
    assert second.strength == 0.0


def test_a_guard_of_an_earlier_version_which_measured_other_clips_is_refused():
    first = feedback(guard=GUARD)
    first.compare_with(clips({"motion_magnitude": 0.2}))
    old = {name: value for name, value in first.state_dict().items() if name != "strayed"}
    with pytest.raises(ConfigError, match="an earlier version began this run"):
        feedback(guard=GUARD).load_state_dict(old)
    feedback().load_state_dict({**old, "baseline": {}})  # nothing watched


def test_a_watched_number_that_is_missing_is_an_error():
    with pytest.raises(KeyError, match="motion_magnitude"):
        feedback(guard=GUARD).compare_with(clips({"truth": 1.0}))


def test_settings_that_mean_nothing_are_refused():
    with pytest.raises(ValueError, match="factor="):
        GuardConfig(factor=1.0)
    with pytest.raises(ValueError, match="strength=-1"):
        feedback(strength=-1.0)
    with pytest.raises(ValueError, match="level=0"):
        GuardConfig(level=0.0)
    with pytest.raises(ValueError, match="guard: motion is not measured: use truth, motion_magnitude"):
        GuardConfig(lowest={"motion": 0.9}).check_names(("truth", "motion_magnitude"))


def test_chance_is_mcnemars_of_right_clips_and_no_different_for_other_numbers():
    before = [1.0] * 53 + [0.0] * 11
    three_worse = [0.0] * 3 + before[3:]
    assert chance_of(before, three_worse) == pytest.approx(2**-3, abs=0.01)
    mixed = [0.0] * 8 + before[8:-2] + [1.0] * 2  # eight fell, two rose: 56 of 1,024 signs are no better
    assert chance_of(before, mixed) == pytest.approx(56 / 1024, abs=0.01)
    assert chance_of(before, before) == 1.0
    assert chance_of([0.2] * 10, [0.1] * 10) < 0.01
    assert chance_of([0.2] * 10, [0.3] * 10) > 0.99


def test_two_clips_that_turn_wrong_are_chance_and_seven_are_a_fall():
    term = feedback(guard=GuardConfig(lowest={"truth": 0.97}, lowest_held_out=None))
    right = [1.0] * 53 + [0.0] * 11
    term.compare_with({"truth": right})
    assert not term.watch({"truth": [0.0] * 2 + right[2:]})
    assert term.watch({"truth": [0.0] * 7 + right[7:]})
    with pytest.raises(ValueError, match="measured on 3 clips: use the baseline's 64"):
        term.watch({"truth": right[:3]})


def test_motion_may_rise_too_far_as_well():
    term = feedback(guard=GuardConfig(highest={"motion_magnitude": 1.1}, lowest_held_out=None))
    term.compare_with(clips({"motion_magnitude": 0.2}))
    assert not term.watch(clips({"motion_magnitude": 0.215}))
    assert not term.watch(clips({"motion_magnitude": 0.1}))
    assert term.watch(clips({"motion_magnitude": 0.225}))
    assert term.strength == 0.5

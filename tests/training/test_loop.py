import os
import signal

import pytest
import torch

from rufous.core.errors import ConfigError, RunStoppedError
from rufous.training import EMA, TrainConfig
from rufous.training.loop import evaluating
from rufous.training.metrics import read_metrics
from rufous.training.resume import checkpoints


def assert_same_bits(first, second):
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


def optimizer_file(run_dir):
    from safetensors.torch import load_file

    return load_file(checkpoints(run_dir / "checkpoints")[-1] / "optimizer.safetensors")


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_a_resumed_run_gives_the_bits_of_an_unbroken_one(toy, tmp_path, name):
    unbroken = toy.run(tmp_path / "unbroken", 6, name=name)
    toy.run(tmp_path / "resumed", 3, name=name)
    resumed = toy.run(tmp_path / "resumed", 6, name=name)
    assert_same_bits(unbroken.weights, resumed.weights)
    assert_same_bits(unbroken.averages, resumed.averages)
    assert_same_bits(optimizer_file(tmp_path / "unbroken"), optimizer_file(tmp_path / "resumed"))
    assert unbroken.losses == resumed.losses
    assert len(resumed.losses) == 6
    assert torch.equal(unbroken.objective.target, resumed.objective.target)
    assert resumed.objective.num_steps == 6


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_the_toy_is_learned(toy, tmp_path, name):
    losses = toy.run(tmp_path, 60, name=name, dtype="fp32").losses
    assert sum(losses[-5:]) < 0.35 * sum(losses[:5])


def test_a_finished_run_does_nothing_more(toy, tmp_path):
    first = toy.run(tmp_path, 3)
    again = toy.run(tmp_path, 3)
    assert again.result.step == 3
    assert_same_bits(first.weights, again.weights)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_checkpoint(toy, tmp_path):
    broken = toy.Objective(during_loss=lambda step, loss: loss * float("nan") if step == 5 else loss)
    with pytest.raises(FloatingPointError, match=r"step 5 on rank 0 is not finite: loss \[nan, nan\]"):
        toy.run(tmp_path, 8, objective=broken, save_every=2)
    assert all(parameter.isfinite().all() for parameter in broken.trainable.parameters())
    assert [folder.name for folder in checkpoints(tmp_path / "checkpoints")] == [
        "step-00000002",
        "step-00000004",
    ]
    assert toy.run(tmp_path, 6, save_every=2).result.step == 6


def test_an_objective_that_stops_by_itself_tells_the_step_too(toy, tmp_path):
    def overflow(step, loss):
        if step == 3:
            raise FloatingPointError("the scores are NaN")
        return loss

    with pytest.raises(FloatingPointError, match=r"step 3 on rank 0: the scores are NaN"):
        toy.run(tmp_path, 8, objective=toy.Objective(during_loss=overflow), save_every=2)
    assert toy.run(tmp_path, 4, save_every=2).result.step == 4


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_after_the_step_with_a_checkpoint(toy, tmp_path, number):
    def interrupt(step, loss):
        if step == 3 and not interrupt.done:
            interrupt.done = True
            os.kill(os.getpid(), number)
        return loss

    interrupt.done = False
    before = signal.getsignal(number)
    with pytest.raises(RunStoppedError, match=f"signal {signal.Signals(number).name} .* after step 3 of 6"):
        toy.run(tmp_path, 6, objective=toy.Objective(during_loss=interrupt))
    assert signal.getsignal(number) is before
    assert [folder.name for folder in checkpoints(tmp_path / "checkpoints")] == ["step-00000003"]
    assert toy.run(tmp_path, 6).result.step == 6


def test_a_time_limit_ends_the_run_with_a_checkpoint(toy, tmp_path):
    with pytest.raises(RunStoppedError, match=r"time limit of 1e-06 s .* after step 1 of 1000"):
        toy.run(tmp_path, 1000, time_limit_s=1e-6)
    assert [folder.name for folder in checkpoints(tmp_path / "checkpoints")] == ["step-00000001"]


def test_checkpoints_also_follow_the_clock(toy, tmp_path):
    saved = []
    toy.run(tmp_path / "often", 4, save_every_s=1e-9, save=lambda step, folder: saved.append(step))
    assert saved == [1, 2, 3, 4]
    toy.run(tmp_path / "seldom", 4, save_every_s=1e6, save=lambda step, folder: saved.append(10 * step))
    assert saved[4:] == [40]


def test_a_finished_run_repeats_the_hook_that_may_have_been_cut_off(toy, tmp_path):
    saved = []
    first = toy.run(tmp_path, 3)
    toy.run(tmp_path, 3, save=lambda step, folder: saved.append((step, folder.name)))
    assert saved == [(3, "step-00000003")]
    assert_same_bits(first.weights, toy.run(tmp_path, 3).weights)


def test_a_changed_config_is_refused_with_every_difference(toy, tmp_path):
    toy.run(tmp_path, 2)
    with pytest.raises(
        ConfigError, match=r"ema_decay was 0.9 and is 0.5; optimizer.name was 'adamw' and is 'muon'"
    ):
        toy.run(tmp_path, 4, name="muon", ema_decay=0.5)


def test_a_run_made_of_other_things_is_refused_even_when_it_is_done(toy, tmp_path):
    made_of = {"settings": {"weight": 1.0}, "releases": {"teacher": "abc"}}
    toy.run(tmp_path, 2, made_of=made_of)
    assert toy.run(tmp_path, 2, made_of=made_of).result.step == 2
    saved = []
    with pytest.raises(ConfigError, match=r"releases\.teacher was 'abc' and is 'def'; settings\.weight"):
        toy.run(
            tmp_path,
            2,
            made_of={"settings": {"weight": 2.0}, "releases": {"teacher": "def"}},
            save=lambda step, folder: saved.append(step),
        )
    assert not saved


def test_harmless_changes_of_the_config_are_allowed(toy, tmp_path):
    toy.run(tmp_path, 2)
    assert (
        toy.run(tmp_path, 4, log_every=2, save_every=1, save_every_s=9.0, time_limit_s=100.0).result.step == 4
    )


def test_the_hooks_see_averaged_weights_and_the_run_keeps_its_own(toy, tmp_path):
    objective, seen = toy.Objective(), {}

    def validate(step):
        assert not objective.trainable.training
        assert not torch.is_grad_enabled()
        seen[step] = next(objective.trainable.parameters()).detach().clone()
        return {"score": 2.0 * step}

    saved, logged = [], []
    plain = toy.run(tmp_path / "plain", 4)
    hooked = toy.run(
        tmp_path / "hooked",
        4,
        objective=objective,
        validate_every=2,
        validate=validate,
        save=lambda step, folder: saved.append((step, folder.name)),
        log=lambda step, metrics: logged.append(step),
    )
    assert torch.equal(seen[4], hooked.averages["0.weight"])
    assert_same_bits(plain.weights, hooked.weights)
    assert saved == [(4, "step-00000004")]
    assert logged == [1, 2, 2, 3, 4, 4]
    lines = read_metrics(tmp_path / "hooked" / "metrics.jsonl")
    assert [line["score"] for line in lines if "score" in line] == [4.0, 8.0]


def test_evaluating_restores_the_mode_after_an_error(toy):
    network = toy.network()
    before = {name: value.clone() for name, value in network.state_dict().items()}

    def fail():
        with evaluating(network, EMA(network, 0.9)):
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert network.training
    assert_same_bits(before, network.state_dict())


@pytest.mark.parametrize(
    "settings",
    [
        {"num_steps": 0},
        {"accumulation": 0},
        {"ema_decay": 1.0},
        {"max_grad_norm": -1.0},
        {"save_every_s": 0.0},
    ],
)
def test_contradictory_configs_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        TrainConfig(**{"num_steps": 1, **settings})


def test_activations_are_recomputed_by_the_same_attention(toy, tmp_path):
    def checkpointed(step, loss):
        heads = loss.expand(1, 2, 8, 16)
        attend = torch.nn.functional.scaled_dot_product_attention
        return (
            loss + torch.utils.checkpoint.checkpoint(attend, heads, heads, heads, use_reentrant=False).mean()
        )

    objective = toy.Objective(during_loss=checkpointed)  # torch compares what both passes saved
    assert len(toy.run(tmp_path, 2, objective=objective).losses) == 2

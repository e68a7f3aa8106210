import sys

import pytest

from rufous.core.errors import MissingDependencyError
from rufous.training.metrics import read_metrics
from rufous.training.resume import checkpoints


def points(run_dir, name):
    """(step, value) as TensorBoard shows them."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(run_dir / "tensorboard")).Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def test_events_are_the_numbers_of_the_metrics_file_also_after_a_break(toy, tmp_path):
    pytest.importorskip("tensorboard")

    def break_off(step, loss):
        if step == 6:
            raise KeyboardInterrupt
        return loss

    broken = toy.Objective(during_loss=break_off)
    with pytest.raises(KeyboardInterrupt):
        toy.run(tmp_path, 8, objective=broken, save_every=3, tensorboard=True)
    assert checkpoints(tmp_path / "checkpoints")[-1].name == "step-00000003"
    assert [step for step, _ in points(tmp_path, "loss")] == [1, 2, 3, 4, 5]
    toy.run(tmp_path, 8, save_every=3, tensorboard=True)
    lines = [(line["step"], pytest.approx(line["loss"])) for line in read_metrics(tmp_path / "metrics.jsonl")]
    assert points(tmp_path, "loss") == lines
    assert [step for step, _ in lines] == list(range(1, 9))


def test_without_the_package_nothing_is_trained(toy, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    objective = toy.Objective()
    with pytest.raises(MissingDependencyError, match=r"pip install 'rufous\[train\]'"):
        toy.run(tmp_path, 2, objective=objective, tensorboard=True)
    assert objective.num_steps == 0

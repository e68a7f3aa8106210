import json
import logging

import pytest
import torch

from rufous.training.metrics import (
    Averages,
    MetricsFile,
    Reporter,
    Speed,
    console_line,
    last_validation,
    read_metrics,
)

CPU = torch.device("cpu")


def test_means_run_over_all_entries_since_the_last_time():
    averages = Averages()
    averages.add({"loss": torch.tensor(1.0), "error": torch.tensor([1.0, 2.0])})
    averages.add({"loss": 3.0, "error": torch.tensor([6.0])})
    assert averages.take(CPU) == {"loss": 2.0, "error": 3.0}
    assert averages.take(CPU) == {}


def test_nan_entries_count_as_not_measured():
    averages = Averages()
    averages.add({"some": torch.tensor([float("nan"), 4.0]), "none": torch.tensor([float("nan")])})
    averages.add({"some": torch.tensor([2.0])})
    assert averages.take(CPU) == {"some": 3.0}


def test_metrics_hold_on_to_no_graph():
    averages = Averages()
    averages.add({"loss": torch.ones(1, requires_grad=True) * 2})
    assert averages.take(CPU) == {"loss": 2.0}


def test_resuming_removes_later_lines_and_a_torn_one(tmp_path):
    path = tmp_path / "metrics.jsonl"
    first = MetricsFile(path, step=0)
    for step in (1, 2, 3):
        first.write(step, {"loss": step / 10})
    with open(path, "a") as file:
        file.write('{"step": 4, "lo')
    second = MetricsFile(path, step=2)
    second.write(3, {"loss": 0.9})
    assert [(line["step"], line["loss"]) for line in read_metrics(path)] == [(1, 0.1), (2, 0.2), (3, 0.9)]


def test_the_last_validation_is_found_among_the_lines_of_training(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert last_validation(path) == {}
    file = MetricsFile(path, step=0)
    file.write(1, {"loss": 0.5, "learning_rate": 1e-3})
    assert last_validation(path) == {}
    for step in (2, 4):
        file.write(step, {"loss": 0.5, "learning_rate": 1e-3})
        file.write(step, {"truth": step / 8})
    file.write(5, {"loss": 0.5, "learning_rate": 1e-3})
    assert last_validation(path) == {"step": 4, "truth": 0.5}
    MetricsFile(path, step=3)  # resumed from there
    assert last_validation(path) == {"step": 2, "truth": 0.25}


def test_paused_time_is_left_out_of_the_speed(monkeypatch):
    clock = iter([0.0, 1.0, 9.0, 10.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    speed = Speed(step=4)
    speed.add(3)
    speed.add(5)
    with speed.paused():
        pass
    assert speed.take(6) == {"s_per_step": 1.0, "samples_per_s": 4.0}


def test_the_reporter_writes_the_file_the_console_and_the_sink(tmp_path, caplog):
    seen = []
    path = tmp_path / "metrics.jsonl"
    report = Reporter(path, step=0, num_steps=10, device=CPU, sink=lambda step, metrics: seen.append(step))
    report.add({"loss": torch.tensor(0.5)}, num_examples=4)
    with caplog.at_level(logging.INFO, logger="rufous"):
        report.write_step(2, learning_rate=1e-3)
    report.write(2, {"score": 1.0})
    step, score = (json.loads(line) for line in path.read_text().splitlines())
    assert step["loss"] == 0.5
    assert step["learning_rate"] == 1e-3
    assert score == {"step": 2, "score": 1.0}
    assert seen == [2, 2]
    assert caplog.messages[0].startswith("step 2/10  loss 0.5000  lr 1.00e-03")


def test_the_console_line_tells_the_time_left():
    numbers = {"loss": 0.25, "learning_rate": 1e-4, "s_per_step": 2.0, "samples_per_s": 8.0}
    assert console_line(100, 2000, numbers).endswith("2.000 s/step  8.0 samples/s  1:03:20 left")


def test_a_file_of_another_step_is_made_when_there_is_none(tmp_path):
    MetricsFile(tmp_path / "run" / "metrics.jsonl", step=5)
    assert read_metrics(tmp_path / "run" / "metrics.jsonl") == []


def test_a_metric_that_is_no_number_is_refused():
    with pytest.raises((TypeError, ValueError)):
        Averages().add({"loss": "high"})

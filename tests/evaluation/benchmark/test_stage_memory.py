"""Peaks are kept by stage and round, and the highest of all is never lost."""

import pytest
import torch

from rufous.evaluation.benchmark import stage_memory
from rufous.evaluation.benchmark.stage_memory import StageMemory


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """A process whose peak a test sets, and that begins anew with 10 bytes."""
    now = {"peak": 900}

    def reset(device: torch.device) -> bool:
        now["peak"] = 10
        return True

    monkeypatch.setattr(stage_memory, "peak_memory_bytes", lambda device: now["peak"])
    monkeypatch.setattr(stage_memory, "reset_peak_memory", reset)
    return now


def one_round(memory: StageMemory, system: dict[str, int], **peaks: int) -> None:
    for stage, peak in peaks.items():
        memory.begin(stage)  # type: ignore[arg-type]
        system["peak"] = peak
    memory.end_round()


def test_each_stage_has_its_own_peak_and_loading_counts_in_the_highest(system: dict[str, int]):
    memory = StageMemory(torch.device("cpu"))
    one_round(memory, system, text=100, denoise=500, decode=300, write=50)
    assert memory.cold() == memory.warm() == {"text": 100, "denoise": 500, "decode": 300, "write": 50}
    one_round(memory, system, text=90, denoise=400, decode=350, write=50)
    one_round(memory, system, text=80, denoise=450, decode=340, write=50)
    assert memory.cold() == {"text": 100, "denoise": 500, "decode": 300, "write": 50}
    assert memory.warm() == {"text": 90, "denoise": 450, "decode": 350, "write": 50}
    assert memory.highest == 900


def test_a_stage_of_several_batches_keeps_its_highest(system: dict[str, int]):
    memory = StageMemory(torch.device("cpu"))
    for peak in (70, 40):
        memory.begin("text")
        system["peak"] = peak
    memory.end_round()
    assert memory.cold() == {"text": 70}


def test_where_no_peak_can_begin_anew_stages_are_unknown(system, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stage_memory, "reset_peak_memory", lambda device: False)
    memory = StageMemory(torch.device("cpu"))
    one_round(memory, system, text=100, denoise=500)
    assert (memory.cold(), memory.warm(), memory.highest) == (None, None, 900)

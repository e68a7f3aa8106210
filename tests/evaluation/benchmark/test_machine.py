"""The machine tells what figures depend on, and refuses devices and dtypes that are not there."""

import psutil
import pytest
import torch

from rufous.core.config import from_json_dict, to_json_dict
from rufous.core.devices import DTYPES
from rufous.evaluation.benchmark import machine
from rufous.evaluation.benchmark.machine import Machine, installed_version, measure_machine


@pytest.fixture(autouse=True)
def small_sizes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "_CPU_SIDES", (16, 32))
    monkeypatch.setattr(machine, "_CPU_COPY_BYTES", 4096)


def test_the_machine_has_a_peak_for_every_dtype_and_its_versions(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    found = measure_machine("cpu", "bf16", duration_s=0.001)
    assert set(found.peaks.flop_per_s) == set(DTYPES)
    assert min(found.peaks.flop_per_s.values()) > 0
    assert found.peaks.copy_bytes_per_s > 0
    assert (found.device, found.dtype) == ("cpu", "bf16")
    assert (found.torch, found.threads) == (torch.__version__, torch.get_num_threads())
    assert found.variables["OMP_WAIT_POLICY"] == "passive"
    assert found.memory_bytes == psutil.virtual_memory().total
    assert from_json_dict(Machine, to_json_dict(found)) == found


@pytest.mark.parametrize(("duration_s", "best"), [(100.0, 9e3), (1.0, 5e3)])
def test_the_best_of_those_sizes_counts_that_are_not_too_slow(
    duration_s: float, best: float, monkeypatch: pytest.MonkeyPatch
):
    rates = {16: 5e3, 32: 9e3}  # the larger product takes 13 s at the rate of the smaller
    monkeypatch.setattr(machine, "matmul_flop_per_s", lambda *_, side, duration_s: rates[side])
    monkeypatch.setattr(machine, "copy_bytes_per_s", lambda *_, **__: 1.0)
    peaks = machine.measure_peaks(torch.device("cpu"), duration_s=duration_s)
    assert set(peaks.flop_per_s.values()) == {best}


def test_what_is_not_there_is_refused():
    with pytest.raises(ValueError, match="dtype='int3' is unknown"):
        measure_machine("cpu", "int3", duration_s=0.001)
    with pytest.raises(ValueError, match="device='tpu' is not present"):
        measure_machine("tpu", "fp32", duration_s=0.001)
    assert installed_version("no-such-package-at-all") is None

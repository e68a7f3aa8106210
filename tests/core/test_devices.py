import subprocess
import sys

import pytest
import torch

from rufous.core import devices
from rufous.core.devices import (
    autocast,
    available_devices,
    clock_s,
    copy_bytes_per_s,
    default_dtype,
    free_memory_bytes,
    has_native_bf16,
    matmul_flop_per_s,
    median_times_s,
    peak_memory_bytes,
    peak_resident_bytes,
    pick_device,
    pick_dtype,
    require_memory,
    reset_peak_memory,
)

CPU = torch.device("cpu")


def test_the_cpu_is_always_there_and_last():
    assert available_devices()[-1] == "cpu"
    assert pick_device("cpu") == CPU
    assert pick_device() == torch.device(available_devices()[0])


def test_an_absent_device_is_refused_with_those_present():
    with pytest.raises(ValueError, match=r"device='tpu' is not present: use auto or one of .*cpu"):
        pick_device("tpu")


def test_dtypes_go_by_name():
    assert pick_dtype("bf16", CPU) is torch.bfloat16
    assert pick_dtype("auto", CPU) is (torch.bfloat16 if has_native_bf16(CPU) else torch.float32)
    with pytest.raises(ValueError, match="dtype='int3' is unknown"):
        pick_dtype("int3", CPU)


@pytest.mark.parametrize(
    ("instructions", "is_native"),
    [
        ({"avx512_f": True}, False),
        ({"avx512_f": True, "avx512_bf16": True}, True),
        ({"amx_bf16": True}, True),
    ],
)
def test_avx_512_alone_is_no_native_bf16(monkeypatch, instructions, is_native):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": "x86_64", **instructions})
    assert has_native_bf16(CPU) is is_native
    assert pick_dtype("auto", CPU) is (torch.bfloat16 if is_native else torch.float32)


def test_autocast_changes_the_dtype_of_products_unless_it_is_fp32():
    x = torch.randn(4, 4)
    with autocast(CPU, torch.bfloat16):
        assert (x @ x).dtype is torch.bfloat16
    with autocast(CPU, torch.float32):
        assert (x @ x).dtype is torch.float32


def test_the_default_dtype_is_what_it_was_after_the_block_even_after_an_error():
    with default_dtype(torch.bfloat16):
        assert torch.zeros(1).dtype is torch.bfloat16
    with pytest.raises(ValueError, match="stop"), default_dtype(torch.bfloat16):
        raise ValueError("stop")
    assert torch.zeros(1).dtype is torch.float32


def test_memory_is_measured_in_bytes():
    assert peak_memory_bytes(CPU) > 50_000_000  # torch alone is larger
    assert free_memory_bytes(CPU) > 1_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="Linux lets a process begin a new peak")
def test_a_peak_begins_anew_when_it_is_reset():
    assert reset_peak_memory(CPU)
    before = peak_resident_bytes()
    block = torch.ones(50_000_000)
    assert peak_resident_bytes() > before + 150_000_000
    del block
    assert reset_peak_memory(CPU)
    assert peak_resident_bytes() < before + 100_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells a process's own peak")
def test_the_peak_is_the_processs_own_and_not_that_of_the_one_that_started_it():
    code = (
        "import ast, pathlib, sys; source = pathlib.Path(sys.argv[1]).read_text(); import re, resource;"
        "from pathlib import Path;"
        "body = [n for n in ast.parse(source).body if getattr(n, 'name', '') == 'peak_resident_bytes'];"
        "exec(compile(ast.Module(body, []), 'devices', 'exec')); print(peak_resident_bytes())"
    )  # importing the module would bring torch and its memory
    done = subprocess.run([sys.executable, "-c", code, devices.__file__], capture_output=True, check=True)
    assert 1_000_000 < int(done.stdout) < 60_000_000 < peak_resident_bytes()


def test_peak_rates_are_those_of_work_over_time(monkeypatch: pytest.MonkeyPatch):
    now = [0.0]

    def clock() -> float:
        now[0] += 0.5
        return now[0]

    monkeypatch.setattr(devices.time, "perf_counter", clock)  # a call takes half a second
    assert matmul_flop_per_s(CPU, torch.float32, duration_s=1.0, side=10) == 2 * 2000.0
    assert copy_bytes_per_s(CPU, duration_s=1.0, size_bytes=4000) == 2 * 2 * 4000.0


@pytest.mark.parametrize(
    ("device", "waits"), [("cpu", []), ("cuda:1", [torch.device("cuda:1")]), ("mps", ["mps"])]
)
def test_the_clock_is_read_when_the_device_is_done(device: str, waits: list, monkeypatch: pytest.MonkeyPatch):
    waited: list[object] = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    monkeypatch.setattr(torch.mps, "synchronize", lambda: waited.append("mps"))
    monkeypatch.setattr(devices.time, "perf_counter", lambda: float(len(waited)))
    assert clock_s(torch.device(device)) == len(waits)
    assert waited == waits


def test_functions_are_timed_in_turn_and_the_warm_up_does_not_count(monkeypatch: pytest.MonkeyPatch):
    order: list[str] = []
    lasting = {"first": [9.0, 1.0, 2.0, 4.0], "second": [9.0, 7.0, 5.0, 6.0]}
    now = [0.0]
    monkeypatch.setattr(devices.time, "perf_counter", lambda: now[0])

    def timed(name: str):
        def function() -> None:
            order.append(name)
            now[0] += lasting[name].pop(0)

        return function

    assert median_times_s([timed("first"), timed("second")], CPU, num_calls=3) == [2.0, 6.0]
    assert order == ["first", "second"] * 4


def test_slow_functions_are_timed_less_often(monkeypatch: pytest.MonkeyPatch):
    now, calls = [0.0], []
    monkeypatch.setattr(devices.time, "perf_counter", lambda: now[0])

    def slow() -> None:
        calls.append(1)
        now[0] += 10.0 * len(calls)

    assert median_times_s([slow], CPU, num_calls=5, max_s=5.0) == [10.0]
    assert len(calls) == 1
    assert median_times_s([slow], CPU, num_calls=5, max_s=45.0) == [30.0]  # after 20 s, and then 50


def test_what_cannot_fit_in_memory_is_refused_with_its_need(monkeypatch):
    monkeypatch.setattr(devices, "free_memory_bytes", lambda device: 2_000_000_000)
    require_memory(2_000_000_000, CPU, what="a clip")
    with pytest.raises(MemoryError, match=r"^a clip: needs 2\.5 GB, 2\.0 GB are free on cpu$"):
        require_memory(2_500_000_000, CPU, what="a clip")

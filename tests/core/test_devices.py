import pytest
import torch

from rufous.core.devices import (
    autocast,
    available_devices,
    free_memory_bytes,
    has_native_bf16,
    peak_memory_bytes,
    pick_device,
    pick_dtype,
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


def test_autocast_changes_the_dtype_of_products_unless_it_is_fp32():
    x = torch.randn(4, 4)
    with autocast(CPU, torch.bfloat16):
        assert (x @ x).dtype is torch.bfloat16
    with autocast(CPU, torch.float32):
        assert (x @ x).dtype is torch.float32


def test_memory_is_measured_in_bytes():
    assert peak_memory_bytes(CPU) > 50_000_000  # torch alone is larger
    assert free_memory_bytes(CPU) > 1_000_000

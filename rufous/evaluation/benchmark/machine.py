"""What a machine is, and what it can do at best: matrix products in each dtype, and a copy in its memory."""

import os
import platform
import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import psutil
import torch

import rufous
from rufous.core.devices import (
    DTYPES,
    copy_bytes_per_s,
    matmul_flop_per_s,
    pick_device,
    pick_dtype,
)

MATMUL_SIDES = {"cuda": (2048, 4096, 8192)}  # a GPU needs large products to reach its peak
_CPU_SIDES = (512, 1024, 2048)
_COPY_BYTES = {"cuda": 2**30}
_CPU_COPY_BYTES = 2**28  # far above any cache
_TOLD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "GLIBC_TUNABLES",
    "PYTORCH_CUDA_ALLOC_CONF",
    "LD_PRELOAD",
)


@dataclass(frozen=True, kw_only=True)
class Peaks:
    """The best rates that were measured."""

    flop_per_s: dict[str, float]
    """Of a matrix product, by the name of its dtype."""
    copy_bytes_per_s: float
    """Of a copy within the device's memory, read and written bytes counted."""
    load_average: float | None
    """Processes that wanted a core in the minute before; None where the system does not tell."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What the figures depend on beside the models."""

    device: str
    device_name: str
    dtype: str
    """Of the rows."""
    cpu: str
    cores: int
    threads: int
    """Of torch."""
    memory_bytes: int
    platform: str
    python: str
    rufous: str
    torch: str
    diffusers: str | None
    variables: dict[str, str]
    """Environment variables that change speed or memory, as far as they are set."""
    peaks: Peaks


def measure_machine(device: str, dtype: str, *, duration_s: float) -> Machine:
    """Describe this machine and measure its peaks.

    Args:
        device: As of ``pick_device``.
        dtype: As of ``pick_dtype``.
        duration_s: Of each measurement, in seconds.

    Raises:
        ValueError: An unknown device or dtype.
    """
    target = pick_device(device)
    chosen = pick_dtype(dtype, target)
    return Machine(
        device=str(target),
        device_name=torch.cuda.get_device_name(target) if target.type == "cuda" else cpu_name(),
        dtype=next(name for name, each in DTYPES.items() if each is chosen),
        cpu=cpu_name(),
        cores=psutil.cpu_count(logical=False) or psutil.cpu_count() or 1,
        threads=torch.get_num_threads(),
        memory_bytes=psutil.virtual_memory().total,
        platform=platform.platform(terse=True),
        python=platform.python_version(),
        rufous=rufous.__version__,
        torch=torch.__version__,
        diffusers=installed_version("diffusers"),
        variables={name: os.environ[name] for name in _TOLD_VARIABLES if name in os.environ},
        peaks=measure_peaks(target, duration_s=duration_s),
    )


def measure_peaks(device: torch.device, *, duration_s: float) -> Peaks:
    """The best of several sizes of matrix product in each dtype, and a copy."""
    load = psutil.getloadavg()[0] if hasattr(psutil, "getloadavg") else None
    return Peaks(
        flop_per_s={name: _best_rate(device, dtype, duration_s) for name, dtype in DTYPES.items()},
        copy_bytes_per_s=copy_bytes_per_s(
            device, duration_s=duration_s, size_bytes=_COPY_BYTES.get(device.type, _CPU_COPY_BYTES)
        ),
        load_average=load,
    )


def _best_rate(device: torch.device, dtype: torch.dtype, duration_s: float) -> float:
    """Of growing products, up to those of which one would take longer than ``duration_s``."""
    best = 0.0
    for side in MATMUL_SIDES.get(device.type, _CPU_SIDES):
        if best and 2.0 * side**3 / best > duration_s:
            break
        best = max(best, matmul_flop_per_s(device, dtype, duration_s=duration_s, side=side))
    return best


def cpu_name() -> str:
    """What the processor calls itself."""
    about = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.+)$", about.read_text(), re.MULTILINE) if about.exists() else None
    return found[1].strip() if found else platform.processor() or platform.machine()


def installed_version(package: str) -> str | None:
    """Version of a package, without importing it; None if it is absent."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None

"""Choice of device and dtype, autocast, what memory and time a process takes, and what a device can do."""

import contextlib
import re
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import torch

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
X86 = ("x86_64", "i386")
"""As ``torch.cpu.get_capabilities`` names them."""


def pick_device(name: str = "auto") -> torch.device:
    """The named device, or for ``"auto"`` the best one present: CUDA or ROCm, then MPS, then CPU.

    Raises:
        ValueError: The device does not exist here; the message lists those that do.
    """
    found = available_devices()
    if name == "auto":
        return torch.device(found[0])
    kind = name.split(":")[0]
    if kind not in {device.split(":")[0] for device in found}:
        raise ValueError(f"device={name!r} is not present: use auto or one of {', '.join(found)}")
    return torch.device(name)


def available_devices() -> list[str]:
    """Names of the devices that torch can use here, best first; ``"cpu"`` is always the last."""
    found: list[str] = []
    if torch.cuda.is_available():
        found += [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append("mps")
    return [*found, "cpu"]


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """The named dtype; ``"auto"`` is bf16 where the device computes it natively, else fp32.

    Raises:
        ValueError: An unknown name.
    """
    if name == "auto":
        return torch.bfloat16 if has_native_bf16(device) else torch.float32
    if name not in DTYPES:
        raise ValueError(f"dtype={name!r} is unknown: use auto, {', '.join(DTYPES)}")
    return DTYPES[name]


def has_native_bf16(device: torch.device) -> bool:
    """Whether bf16 arithmetic on ``device`` is faster than fp32, as far as torch can tell."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        if capabilities.get("architecture") in X86:
            # oneDNN says yes to any AVX-512, where it converts to fp32 and back: five times as slow as fp32
            return any(bool(capabilities.get(name)) for name in ("avx512_bf16", "amx_bf16"))
        return torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return False


@contextlib.contextmanager
def autocast(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Autocast to ``dtype`` on ``device``; does nothing for float32."""
    with torch.autocast(device.type, dtype=dtype, enabled=dtype is not torch.float32):
        yield


@contextlib.contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Make new floating-point tensors of ``dtype`` inside the block, for example a network's weights."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def peak_memory_bytes(device: torch.device) -> int:
    """Highest memory use so far: of torch's allocator on a GPU, of the process's resident set on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return peak_resident_bytes()


def reset_peak_memory(device: torch.device) -> bool:
    """Let ``peak_memory_bytes`` begin anew with what is in use; False where the system cannot, as macOS."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return True
    try:
        Path("/proc/self/clear_refs").write_text("5")  # see proc(5); it resets VmHWM and nothing else
    except OSError:
        return False
    return True


def peak_resident_bytes() -> int:
    """Highest resident memory of this process so far, or since it was reset.

    Linux counts it for the process's own memory; what getrusage tells begins with the peak of the process
    that started this one.
    """
    status = Path("/proc/self/status")
    own = re.search(r"^VmHWM:\s*(\d+) kB$", status.read_text(), re.MULTILINE) if status.exists() else None
    if own is not None:
        return int(own[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def free_memory_bytes(device: torch.device) -> int:
    """Memory that is free on ``device`` now."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


def require_memory(num_bytes: int, device: torch.device, *, what: str) -> None:
    """Refuse work that cannot fit in memory before any of it is there: the system would end the process.

    Raises:
        MemoryError: Fewer bytes are free; says what needs them.
    """
    free = free_memory_bytes(device)
    if device.type == "cuda":  # what torch holds and does not use is free for torch
        free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if num_bytes > free:
        raise MemoryError(f"{what}: needs {num_bytes / 1e9:.1f} GB, {free / 1e9:.1f} GB are free on {device}")


def wait_for(device: torch.device) -> None:
    """Return once ``device`` has done all that it was told to; a GPU works on while Python goes ahead."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def clock_s(device: torch.device) -> float:
    """Seconds of a clock that only ever rises, read when ``device`` is done."""
    wait_for(device)
    return time.perf_counter()


def median_times_s(
    functions: Sequence[Callable[[], object]],
    device: torch.device,
    *,
    num_calls: int,
    max_s: float = float("inf"),
) -> list[float]:
    """Median wall time of a call of each function, in seconds, after one that warms up and is not counted.

    They are called in turn, so that a busy machine slows all of them alike.

    Args:
        functions: What to call.
        device: Where they compute.
        num_calls: Of each function that are counted, at least 1.
        max_s: No further round is begun after so many seconds; if the first one takes as long, it counts.
    """
    rounds: list[list[float]] = []
    begin = clock_s(device)
    while not rounds or (len(rounds) <= num_calls and clock_s(device) - begin < max_s):
        rounds.append([])
        for function in functions:
            start = clock_s(device)
            function()
            rounds[-1].append(clock_s(device) - start)
    return [statistics.median(times) for times in zip(*(rounds[1:] or rounds), strict=True)]


def matmul_flop_per_s(
    device: torch.device, dtype: torch.dtype, *, duration_s: float = 0.1, side: int = 1024
) -> float:
    """Rate of a ``side`` x ``side`` matrix product, measured for about ``duration_s`` after one warm-up."""
    a = torch.randn(side, side, device=device).to(dtype)
    return _calls_per_s(lambda: torch.matmul(a, a), device, duration_s) * 2.0 * side**3


def copy_bytes_per_s(device: torch.device, *, duration_s: float = 0.1, size_bytes: int = 2**28) -> float:
    """Rate of a copy within the memory of ``device``, bytes read and bytes written both counted."""
    source = torch.ones(size_bytes // 4, device=device)
    target = torch.empty_like(source)
    return _calls_per_s(lambda: target.copy_(source), device, duration_s) * 2.0 * source.nbytes


def _calls_per_s(function: Callable[[], object], device: torch.device, duration_s: float) -> float:
    function()
    count, elapsed, start = 0, 0.0, clock_s(device)
    while elapsed < duration_s:
        function()
        count += 1
        elapsed = clock_s(device) - start
    return count / elapsed

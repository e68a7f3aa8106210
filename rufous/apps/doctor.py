"""``rufous doctor``: what this machine can run, and what a generation is predicted to take on it."""

import importlib.util
import json
import platform
import shutil
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import torch

    from rufous.pipelines.estimate import Estimate

EXTRAS = {
    "curate": ("cv2", "onnxruntime", "pyarrow", "rapidocr", "scenedetect"),
    "diffusers": ("diffusers",),
    "lora": ("peft",),
    "ray": ("ray",),
    "train": ("tensorboard",),
    "dev": ("pytest", "ruff", "beartype"),
}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what this machine can run: devices, dtypes, codecs, extras, memory, and predicted times."""
    report = {
        "system": _system(),
        "devices": _devices(),
        "codecs": _codecs(),
        "extras": {name: all(map(_is_installed, packages)) for name, packages in EXTRAS.items()},
        "generations": _generations(),
    }
    if as_json:
        typer.echo(json.dumps(report, indent=2))
        return
    for title, values in report.items():
        typer.echo(f"{title}:")
        for line in _lines(values):
            typer.echo(f"  {line}")


def _system() -> dict[str, Any]:
    import psutil
    import torch

    import rufous

    memory = psutil.virtual_memory()
    return {
        "rufous": rufous.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(terse=True),
        "cores": psutil.cpu_count(logical=False) or psutil.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory": f"{memory.total / 1e9:.1f} GB, {memory.available / 1e9:.1f} GB free",
        "disk here": f"{shutil.disk_usage(Path.cwd()).free / 1e9:.1f} GB free",
    }


def _devices() -> dict[str, str]:
    """Memory, native dtypes and measured matrix rate of each device."""
    import torch

    from rufous.core.devices import (
        available_devices,
        free_memory_bytes,
        has_native_bf16,
        matmul_flop_per_s,
    )
    from rufous.pipelines.estimate import memory_text

    lines: dict[str, str] = {}
    for name in available_devices():
        device = torch.device(name)
        native = has_native_bf16(device)
        rates = {dtype: matmul_flop_per_s(device, dtype) / 1e9 for dtype in (torch.float32, torch.bfloat16)}
        measured = ", ".join(f"{str(dtype)[6:]} {rate:,.0f} GFLOP/s" for dtype, rate in rates.items())
        free = memory_text(free_memory_bytes(device))
        lines[name] = f"{free} free, bf16 {'native' if native else 'emulated'}, {measured}"
    return lines


def _codecs() -> dict[str, str]:
    """For each file type, whether its encoder can be opened."""
    import av
    import av.error

    from rufous.video.write import ENCODERS

    wanted = {suffix: (each.codec, each.pixel_format) for suffix, each in ENCODERS.items()}
    wanted[".gif"] = ("gif", "pal8")
    found: dict[str, str] = {}
    for suffix, (codec, pixel_format) in wanted.items():
        try:
            context = av.CodecContext.create(codec, "w")
            context.width, context.height, context.pix_fmt = 64, 64, pixel_format  # type: ignore[attr-defined]
            context.time_base = Fraction(1, 8)
            context.open()
            found[suffix] = codec
        except (av.error.FFmpegError, ValueError) as error:
            found[suffix] = f"{codec} cannot be opened: {error}"
    return {**found, ".webp .png": "Pillow"}


def _generations() -> dict[str, str]:
    """Predicted memory and time of one clip: of every embedded model, and of the published 0.7B U-Net."""
    from rufous.core.devices import matmul_flop_per_s, pick_device, pick_dtype
    from rufous.pipelines.estimate import memory_text

    device = pick_device()
    dtype = pick_dtype("auto", device)
    rate = matmul_flop_per_s(device, dtype)
    lines: dict[str, str] = {}
    where = f"on {device} in {str(dtype).removeprefix('torch.')}"
    for name, (what, estimate) in _estimates(dtype).items():
        seconds = max(1.0, estimate.seconds(rate))
        lines[name] = f"{what} {where}: {memory_text(estimate.peak_bytes)}, about {seconds:,.0f} s"
    return lines


def _estimates(dtype: "torch.dtype") -> dict[str, tuple[str, "Estimate"]]:
    from rufous.checkpoints.lookup import embedded_models
    from rufous.checkpoints.presets import HUMMINGBIRD_DIFFUSION
    from rufous.checkpoints.release import component_kinds, load_config
    from rufous.networks.text_encoders import OPENCLIP_VIT_H_14
    from rufous.networks.unet3d import UNET_0_7B_GUIDED
    from rufous.networks.vae2d import SD_KL_F8

    configs: dict[str, dict[str, Any]] = {}
    for name, folder in embedded_models().items():
        configs[name] = {kind: load_config(folder, part) for part, kind in component_kinds(folder).items()}
    configs["hummingbird-0.7b"] = {
        "unet3d": UNET_0_7B_GUIDED,
        "autoencoder_kl": SD_KL_F8,
        "text_encoder": OPENCLIP_VIT_H_14,
        "diffusion": HUMMINGBIRD_DIFFUSION,
    }
    needed = set(configs["hummingbird-0.7b"])
    return {name: _estimate(parts, dtype) for name, parts in configs.items() if needed <= set(parts)}


def _estimate(configs: dict[str, Any], dtype: "torch.dtype") -> tuple[str, "Estimate"]:
    from rufous.checkpoints.kinds import empty_network
    from rufous.pipelines.estimate import estimate_generation
    from rufous.pipelines.request import resolve_request

    unet, autoencoder, text_encoder = (
        empty_network(configs[kind]).to(dtype) for kind in ("unet3d", "autoencoder_kl", "text_encoder")
    )
    request = resolve_request(
        "a clip",
        diffusion=configs["diffusion"],
        unet=configs["unet3d"],
        autoencoder=configs["autoencoder_kl"],
    )
    parts: dict[str, Any] = {"unet": unet, "autoencoder": autoencoder, "text_encoder": text_encoder}
    what = (
        f"{request.num_frames} frames of {request.width}x{request.height} "
        f"in {request.sampling.num_inference_steps} steps"
    )
    return what, estimate_generation(request, **parts)


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _lines(values: dict[str, Any]) -> list[str]:
    words = {True: "installed", False: "not installed"}
    return [f"{name}: {words[value] if isinstance(value, bool) else value}" for name, value in values.items()]

"""Published files to a release folder, in one call.

A conversion holds little in memory: tensors are mapped from the source and written one by one. Merging a LoRA
holds the U-Net once.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from rufous.checkpoints.formats import Source, read_source
from rufous.checkpoints.from_videocrafter import (
    Parts,
    check_schedule,
    component_config,
    describe_unet,
    split_checkpoint,
)
from rufous.checkpoints.hub import download_file
from rufous.checkpoints.kinds import TOKENIZERS, empty_network
from rufous.checkpoints.lora import lora_targets, merge_lora_list
from rufous.checkpoints.manifest import Manifest, Parent
from rufous.checkpoints.matching import load_strictly
from rufous.checkpoints.presets import PRESETS
from rufous.checkpoints.release import check_target, save_release
from rufous.core.config import to_json_dict
from rufous.core.console import logger
from rufous.core.errors import CheckpointError
from rufous.core.files import sha256_of
from rufous.networks.unet3d import UNet3D, UNet3DConfig

TOKENIZER_HUB_ID = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"  # home of VideoCrafter2's text tower
_COMPONENTS = ("unet", "vae", "text_encoder")

_log = logger(__name__)


@dataclass(frozen=True, kw_only=True)
class ConvertConfig:
    """What a conversion needs to know beside its files."""

    kind: Literal[
        "auto", "videocrafter2", "t2v-turbo-v1", "t2v-turbo-v2", "t2v-turbo-v2-mg", "hummingbird"
    ] = "auto"
    """Whose sampling settings the release gets; ``auto`` decides by the U-Net and by a LoRA."""
    name: str | None = None
    """Name in the manifest; None: that of the output folder."""
    dtype: Literal["fp32", "fp16", "bf16", "int8", "keep"] = "keep"
    """Stored dtype of the weights; ``int8`` (see ``checkpoints.int8``) leaves the autoencoder in bf16."""
    tokenizer: str = "hub"
    """Folder with CLIP's ``vocab.json`` and ``merges.txt``; ``hub`` downloads them, ``none`` does without."""
    lora_scale: float = 1.0
    licences: dict[str, str] = field(default_factory=dict)


_DTYPES = {
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
    "int8": {"unet": torch.int8, "text_encoder": torch.int8, "vae": torch.bfloat16},
    "keep": None,
}


def convert(
    sources: Sequence[Path | str],
    output: Path | str,
    config: ConvertConfig | None = None,
    *,
    network_configs: Mapping[str, Any] | None = None,
    parents: Sequence[Parent] | None = None,
    overwrite: bool = False,
) -> Manifest:
    """Make a release folder out of published files.

    Args:
        sources: In any order: at most one whole checkpoint, at most one bare U-Net (it takes the
            place of the checkpoint's), at most one LoRA list (merged into the U-Net).
        output: Release folder to make.
        config: See ``ConvertConfig``.
        network_configs: By component (``unet``, ``vae``, ``text_encoder``), for networks whose config cannot
            be read off their weights; checked against them all the same.
        parents: Recorded in the manifest; None records name and hash of each file.
        overwrite: Replace a release that stands at ``output``.

    Returns:
        The manifest of the new release.

    Raises:
        CheckpointError: Something stands at ``output``, a file is missing or damaged, names or shapes do not
            fit, files contradict each other, or the tokenizer cannot be had.
    """
    config = config or ConvertConfig()
    # what fails at once comes before the network, and both before what takes minutes
    check_target(output, overwrite=overwrite)
    files = _sort_sources([read_source(path) for path in sources])
    tokenizer = _find_tokenizer(config.tokenizer)
    networks = _build_networks(files, network_configs or {}, config.lora_scale)
    unet = networks["unet"]
    assert isinstance(unet, UNet3D)
    kind = _choose_kind(config.kind, unet.config, has_lora=files.lora is not None)
    diffusion = PRESETS[kind]
    check_schedule(files.parts.schedule, diffusion.schedule, where=files.where)
    components: dict[str, object] = {**networks, "scheduler": diffusion}
    if tokenizer is not None:
        _check_vocabulary(tokenizer, networks.get("text_encoder"))
        components["tokenizer"] = tokenizer
    if parents is None:
        parents = [Parent(name=Path(path).name, sha256=sha256_of(path)) for path in sources]
    manifest = Manifest(
        name=config.name or Path(output).name,
        config={"convert": {**to_json_dict(config), "kind": kind, "tokenizer": tokenizer is not None}},
        parents=tuple(parents),
        licences=config.licences,
        notes=(describe_unet(unet.config), *files.notes, *_absent(components)),
    )
    return save_release(output, components, manifest, dtype=_DTYPES[config.dtype], overwrite=overwrite)


@dataclass(frozen=True, kw_only=True)
class _Files:
    """The sources by role."""

    parts: Parts
    where: str
    lora: Source | None
    notes: tuple[str, ...]


def _sort_sources(sources: Sequence[Source]) -> _Files:
    """At most one whole checkpoint, one bare U-Net and one LoRA list; at least one of the first two."""
    loras = [source for source in sources if source.layout == "lora_list"]
    split = [
        (source, split_checkpoint(source.tensors, where=source.path.name))
        for source in sources
        if source.layout != "lora_list"
    ]
    bare = [(source, parts) for source, parts in split if not (parts.vae or parts.text_encoder)]
    whole = [(source, parts) for source, parts in split if parts.vae or parts.text_encoder]
    for role, found in {"LoRA lists": loras, "bare U-Nets": bare, "whole checkpoints": whole}.items():
        if len(found) > 1:
            raise CheckpointError(f"{len(found)} {role} were given: give at most one")
    if not split:
        raise CheckpointError(
            "no U-Net was given: name a checkpoint or a U-Net file, and a LoRA only beside it"
        )
    base, parts = (whole or bare)[0]
    notes: list[str] = []
    if bare and whole:
        notes.append(f"U-Net of {bare[0][0].path.name} in place of the one in {base.path.name}")
        parts = replace(parts, unet=bare[0][1].unet)
    if parts.dropped:
        counts = Counter(name.split(".")[0] for name in parts.dropped)
        notes.append("left out: " + ", ".join(f"{count} tensors of {top}" for top, count in counts.items()))
    for note in notes:
        _log.info(note)
    where = " + ".join(source.path.name for source, _ in split)
    return _Files(parts=parts, where=where, lora=loras[0] if loras else None, notes=tuple(notes))


def _build_networks(
    files: _Files, configs: Mapping[str, Any], lora_scale: float
) -> dict[str, torch.nn.Module]:
    """Networks whose weights are the mapped tensors of the files."""
    if unknown := sorted(set(configs) - set(_COMPONENTS)):
        raise CheckpointError(f"no component {', '.join(unknown)} is converted: use {', '.join(_COMPONENTS)}")
    networks: dict[str, torch.nn.Module] = {}
    for name in _COMPONENTS:
        tensors: dict[str, Tensor] = getattr(files.parts, name)
        if not tensors:
            continue
        config = configs.get(name) or component_config(name, tensors, where=files.where)
        if name == "unet" and files.lora is not None:
            config, tensors = _make_room_for_guidance(config, tensors, files.lora)
        network = empty_network(config)
        load_strictly(network, tensors, where=f"{name} of {files.where}")
        networks[name] = network
    if files.lora is not None:
        merge_lora_list(networks["unet"], files.lora.entries, scale=lora_scale)
    return networks


def _make_room_for_guidance(
    config: UNet3DConfig, tensors: dict[str, Tensor], lora: Source
) -> tuple[UNet3DConfig, dict[str, Tensor]]:
    """Give the U-Net a zero guidance embedding if the LoRA has a pair for it and the U-Net has none.

    T2V-Turbo adds ``time_cond_proj`` to VideoCrafter2's U-Net with random weights, trains a LoRA on it and
    saves only the LoRA. Zero is the mean of what the lost matrix was drawn from.
    """
    if config.guidance_embed_dim is not None:
        return config, tensors
    guided = replace(config, guidance_embed_dim=256)  # the width that T2V-Turbo embeds the scale in
    targets = [name for name, _ in lora_targets(empty_network(guided))]
    if len(lora.entries) != 2 * len(targets):
        return config, tensors
    down = lora.entries[2 * targets.index("time_cond_proj") + 1]
    _log.warning("the base of time_cond_proj is in none of the files, so it is zero under the LoRA")
    guided = replace(config, guidance_embed_dim=down.shape[-1])
    zeros = torch.zeros(config.model_channels, down.shape[-1], dtype=tensors["time_embed.0.weight"].dtype)
    return guided, {**tensors, "time_cond_proj.weight": zeros}


def _choose_kind(kind: str, config: UNet3DConfig, *, has_lora: bool) -> str:
    if kind != "auto":
        return kind
    if config.guidance_embed_dim is None:
        chosen = "videocrafter2"
    elif config.motion_embed_dim is not None:
        chosen = "t2v-turbo-v2-mg"
    elif has_lora:
        chosen = "t2v-turbo-v1"
    else:
        chosen = "hummingbird" if config.num_res_blocks == 1 else "t2v-turbo-v2"
    _log.info("%s: sampling settings of %s", describe_unet(config), chosen)
    return chosen


def _find_tokenizer(choice: str) -> Path | None:
    """Folder of CLIP's tokenizer files."""
    if choice == "none":
        return None
    if choice == "hub":
        _log.info("CLIP's tokenizer comes from the hub, or from its cache on this machine")
        otherwise = "as the tokenizer name a folder with CLIP's vocab.json and merges.txt, or 'none'"
        paths = [
            download_file(TOKENIZER_HUB_ID, name, otherwise=otherwise)
            for name in TOKENIZERS["clip_tokenizer"]
        ]
        return paths[0].parent
    folder = Path(choice)
    missing = [name for name in TOKENIZERS["clip_tokenizer"] if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(f"the tokenizer folder {folder} has no {' and no '.join(missing)}")
    return folder


def _check_vocabulary(folder: Path, text_encoder: Any) -> None:
    """Every id of the tokenizer must have an embedding."""
    if text_encoder is None:
        return
    ids = json.loads((folder / "vocab.json").read_text(encoding="utf-8")).values()
    if max(ids) >= text_encoder.config.vocab_size:
        raise CheckpointError(
            f"the tokenizer in {folder} has ids up to {max(ids)}, but the text tower embeds "
            f"{text_encoder.config.vocab_size}: they do not belong together"
        )


def _absent(components: Mapping[str, object]) -> list[str]:
    """Notes on what a text-to-video pipeline needs and the sources do not have."""
    notes = [
        f"no {name} in the sources" for name in ("vae", "text_encoder", "tokenizer") if name not in components
    ]
    for note in notes:
        _log.warning("%s: the release cannot make videos by itself", note)
    return notes

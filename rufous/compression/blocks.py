"""Which blocks of a network can go: one row of a plain dict for each kind of network that names its blocks.

Such a network has a config with the field ``removed_blocks``; a pruned network is a config value. Everything
else in this package sees only the rows, so it works for every network that has one.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, TypeAlias

from rufous.checkpoints.kinds import NETWORKS, shapes_of
from rufous.checkpoints.matching import nearest
from rufous.compression.calls import ClipSize, NetworkCall, unet3d_call
from rufous.networks.cost import unet_flop
from rufous.networks.unet3d import UNet3DConfig, prunable_blocks, prunable_parts

Granularity: TypeAlias = Literal["stages", "parts"]
"""Whole stages alone, or the parts inside of stages too."""
Shapes: TypeAlias = Mapping[str, tuple[int, ...]]
"""Of a network's tensors, by name."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A list of stages whose numbers shift when the network gets shallower, ``input_blocks`` for example."""

    name: str
    kept: Literal["first", "last"]
    """Which of several stages of one shape a shallower network keeps."""


@dataclass(frozen=True, kw_only=True)
class NamedBlocks:
    """How one kind of network names its blocks."""

    stages: Callable[[Any], tuple[str, ...]]
    """Config to the names of stages that can go, in order."""
    parts: Callable[[Any], tuple[str, ...]]
    """Config to the names of what can go inside of stages."""
    rows: tuple[Row, ...]
    channel_axis: int
    """Of the activations. A block that reads more channels than it writes passes on the first of them."""
    flop: Callable[[Any, ClipSize], float]
    """Network, perhaps on the meta device, and the size of a clip to operations of one pass."""
    example: Callable[[Any, ClipSize], NetworkCall]
    """Config and the size of a clip to a call that can be timed."""
    presets: Mapping[str, Callable[[Any], Any]]
    """Published pruned variants: the network's config to the student's."""
    may_differ: frozenset[str]
    """Fields in which a student's config may differ from its teacher's."""


def _hummingbird_0_9b(config: UNet3DConfig) -> UNet3DConfig:
    """One residual stage a level on the way down, two on the way up."""
    return replace(config, num_res_blocks=1, removed_blocks=frozenset())


def _hummingbird_0_7b(config: UNet3DConfig) -> UNet3DConfig:
    """The same without the middle block."""
    return replace(config, num_res_blocks=1, removed_blocks=frozenset({"middle_block"}))


NAMED_BLOCKS: dict[str, NamedBlocks] = {
    "unet3d": NamedBlocks(
        stages=prunable_blocks,
        parts=prunable_parts,
        # what lies outside of the removed depth stays: the entrance on the way down, the exit on the way up
        rows=(Row(name="input_blocks", kept="first"), Row(name="output_blocks", kept="last")),
        channel_axis=1,
        flop=lambda network, size: unet_flop(
            network, size.num_frames, size.height, size.width, num_tokens=size.num_tokens
        ),
        example=unet3d_call,
        # Hummingbird (arXiv:2503.18559), as its released networks are built
        presets={"hummingbird-0.9b": _hummingbird_0_9b, "hummingbird-0.7b": _hummingbird_0_7b},
        may_differ=frozenset(
            ("num_res_blocks", "removed_blocks", "dropout", "temporal_dropout", "gradient_checkpointing")
        ),
    )
}


def named_blocks(config: object) -> NamedBlocks:
    """The row of a network, by its config.

    Raises:
        ValueError: No row of ``NAMED_BLOCKS`` describes it.
    """
    for kind, row in NAMED_BLOCKS.items():
        if type(config) is NETWORKS[kind][0]:
            return row
    raise ValueError(
        f"a {type(config).__name__} does not say which blocks can go: use a network of the kind "
        f"{' or '.join(NAMED_BLOCKS)}"
    )


def block_names(config: Any, granularity: Granularity = "parts") -> tuple[str, ...]:
    """Names of the blocks that can still go, in the network's order; a stage stands before its parts.

    Args:
        config: Of a network that names its blocks.
        granularity: Whole stages alone, or the parts inside of stages too.
    """
    row, gone = named_blocks(config), config.removed_blocks
    stages, names = row.stages(config), list[str]()
    for part in row.parts(config):
        names += [stage for stage in stages if is_part(part, stage) and stage not in names]
        names.append(part)
    names += [stage for stage in stages if stage not in names]
    wanted = names if granularity == "parts" else stages
    return tuple(name for name in wanted if name not in gone and gone.isdisjoint(modules_of(name)))


def without_blocks(config: Any, names: Iterable[str]) -> Any:
    """``config`` without the blocks ``names``, in its ``canonical`` form.

    Raises:
        ValueError: A block that does not exist, cannot go, or is gone already.
    """
    legal, names = block_names(config), tuple(names)
    for name in names:
        if name not in legal:
            state = "removed already" if name in config.removed_blocks else "none that can go"
            close = nearest(name, legal)
            hint = f"did you mean {close!r}? " if close else ""
            raise ValueError(f"block {name!r} is {state}: {hint}use any of {', '.join(legal)}")
    return canonical(replace(config, removed_blocks=outermost(config.removed_blocks.union(names))))


def canonical(config: Any) -> Any:
    """The same network by another config: a block none of whose tensors is left goes under its own name.

    One network then has one config, and a stage that is gone is none whose features can be compared.
    """
    row = named_blocks(config)
    left = {module for name in shapes_left(config) for module in modules_of(name)}
    bare = (name for name in (*row.stages(config), *row.parts(config)) if name not in left)
    return replace(config, removed_blocks=outermost([*config.removed_blocks, *bare]))


def preset_config(config: Any, preset: str) -> Any:
    """The config of a published pruned variant of the network.

    Raises:
        ValueError: An unknown preset, or a network that is pruned already.
    """
    presets = named_blocks(config).presets
    if preset not in presets:
        raise ValueError(f"preset={preset!r} is unknown: use one of {', '.join(presets)}")
    if config.removed_blocks:
        raise ValueError(
            f"preset={preset!r} is a map of the whole network, and this one is pruned already "
            f"(without {', '.join(sorted(config.removed_blocks))}): prune its unpruned parent"
        )
    return presets[preset](config)


@lru_cache(maxsize=16)
def _shapes(config: Any) -> Shapes:
    return shapes_of(config)


def whole_shapes(config: Any) -> Shapes:
    """Of the network with no block removed, whose stages they tell apart."""
    return _shapes(replace(config, removed_blocks=frozenset()))


def shapes_left(config: Any) -> Shapes:
    """Of what is left of the whole network without the removed blocks."""
    gone = config.removed_blocks
    return {name: shape for name, shape in whole_shapes(config).items() if gone.isdisjoint(modules_of(name))}


def modules_of(name: str) -> list[str]:
    """The modules that something lies in, from the outermost: ``a`` and ``a.b`` of ``a.b.weight``."""
    return [name[:i] for i, letter in enumerate(name) if letter == "."]


def is_part(name: str, whole: str) -> bool:
    """Whether the block ``name`` lies inside the block ``whole``."""
    return name.startswith(f"{whole}.")


def outermost(names: Iterable[str]) -> frozenset[str]:
    """``names`` less those that lie inside another one."""
    names = frozenset(names)
    return frozenset(name for name in names if names.isdisjoint(modules_of(name)))

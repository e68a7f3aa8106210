"""I3D, the network under the Frechet video distance: Inception with 3D convolutions, trained on Kinetics-400.

Every convolution and pooling pads with zeros as TensorFlow's SAME does: just enough, the odd one behind. The
features are the 400 logits before the softmax, averaged over time. Attribute names are those of
``i3d_pretrained_400.pt``. The torchscript file has other names for the same tensors
(``from_published_names``) and another epsilon: 1e-3, as TensorFlow, where the code that comes with
``i3d_pretrained_400.pt`` has 1e-5.

Source: Carreira and Zisserman 2017 (arXiv:1705.07750); Unterthiner et al. 2018 (arXiv:1812.01717) for FVD.

Shapes: b batch, f frames, h w pixels, c channels, k classes.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from rufous.core.errors import ConfigError

SIDE_PX = 224
MIN_FRAMES = 9  # the last map must have two moments, and three halvings come before it
TENSORFLOW_EPS = 1e-3
_MAP_SIDE = 7  # of the last map for 224 pixels, which one average takes in
_NAMES = ["3b", "3c", "4b", "4c", "4d", "4e", "4f", "5b", "5c"]

Extent = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class I3DConfig:
    """Architecture; the defaults are the published one's."""

    num_classes: int = 400
    norm_eps: float = TENSORFLOW_EPS
    stem: tuple[int, int, int] = (64, 64, 192)
    """Channels of the first three convolutions."""
    mixed: tuple[tuple[int, int, int, int, int, int], ...] = (
        (64, 96, 128, 16, 32, 32),
        (128, 128, 192, 32, 96, 64),
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
        (256, 160, 320, 32, 128, 128),
        (384, 192, 384, 48, 128, 128),
    )
    """Of each mixed block, 3b to 5c: channels of branch 0, of both convolutions of branches 1 and 2, and of
    branch 3."""

    def __post_init__(self) -> None:
        if len(self.mixed) != len(_NAMES):
            raise ConfigError(f"mixed has {len(self.mixed)} blocks: I3D has {len(_NAMES)}")


class Unit3D(nn.Module):
    """Convolution, batch norm and ReLU; without ``norm_eps`` a convolution with a bias and nothing else."""

    def __init__(
        self, in_channels: int, out_channels: int, side: int, *, stride: int = 1, norm_eps: float | None
    ) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(in_channels, out_channels, side, stride=stride, bias=norm_eps is None)
        self.bn = None if norm_eps is None else nn.BatchNorm3d(out_channels, eps=norm_eps)
        self.kernel: Extent = (side, side, side)
        self.stride: Extent = (stride, stride, stride)

    def forward(self, x: Float[Tensor, "b c f h w"]) -> Float[Tensor, "b c2 f2 h2 w2"]:
        """As many positions as the strides leave, rounded up."""
        x = self.conv3d(pad_same(x, self.kernel, self.stride))
        return x if self.bn is None else F.relu(self.bn(x))


class Mixed(nn.Module):
    """Four branches side by side: 1x1, two times 1x1 then 3x3, and pooling then 1x1."""

    def __init__(
        self, in_channels: int, widths: tuple[int, int, int, int, int, int], *, norm_eps: float
    ) -> None:
        super().__init__()
        b0, b1a, b1b, b2a, b2b, b3 = widths
        self.b0 = Unit3D(in_channels, b0, 1, norm_eps=norm_eps)
        self.b1a = Unit3D(in_channels, b1a, 1, norm_eps=norm_eps)
        self.b1b = Unit3D(b1a, b1b, 3, norm_eps=norm_eps)
        self.b2a = Unit3D(in_channels, b2a, 1, norm_eps=norm_eps)
        self.b2b = Unit3D(b2a, b2b, 3, norm_eps=norm_eps)
        self.b3b = Unit3D(in_channels, b3, 1, norm_eps=norm_eps)
        self.out_channels = b0 + b1b + b2b + b3

    def forward(self, x: Float[Tensor, "b c f h w"]) -> Float[Tensor, "b c2 f h w"]:
        """The branches' channels one after another."""
        pooled = max_pool(x, (3, 3, 3), (1, 1, 1))
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(pooled)], dim=1)


class I3D(nn.Module):
    """Clips to logits; use it in eval mode."""

    def __init__(self, config: I3DConfig) -> None:
        super().__init__()
        self.config = config
        eps = config.norm_eps
        first, second, channels = config.stem
        self.Conv3d_1a_7x7 = Unit3D(3, first, 7, stride=2, norm_eps=eps)
        self.Conv3d_2b_1x1 = Unit3D(first, second, 1, norm_eps=eps)
        self.Conv3d_2c_3x3 = Unit3D(second, channels, 3, norm_eps=eps)
        for name, widths in zip(_NAMES, config.mixed, strict=True):
            block = Mixed(channels, widths, norm_eps=eps)
            self.add_module(f"Mixed_{name}", block)
            channels = block.out_channels
        self.logits = Unit3D(channels, config.num_classes, 1, norm_eps=None)

    def forward(self, pixels: Float[Tensor, "b 3 f h w"]) -> Float[Tensor, "b k"]:
        """Logits of clips in [-1, 1], averaged over time.

        Raises:
            ValueError: Fewer than 9 frames, or sides that do not leave a map of 7x7.
        """
        num_frames, *sides = pixels.shape[2:]
        if num_frames < MIN_FRAMES or any(math.ceil(side / 32) != _MAP_SIDE for side in sides):
            raise ValueError(
                f"{num_frames} frames of {sides[1]}x{sides[0]} do not fit: I3D reads {MIN_FRAMES} frames or "
                f"more of {SIDE_PX}x{SIDE_PX}"
            )
        x = max_pool(self.Conv3d_1a_7x7(pixels), (1, 3, 3), (1, 2, 2))
        x = max_pool(self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(x)), (1, 3, 3), (1, 2, 2))
        for name in _NAMES:
            if name == "4b":
                x = max_pool(x, (3, 3, 3), (2, 2, 2))
            elif name == "5b":
                x = max_pool(x, (2, 2, 2), (2, 2, 2))
            x = self.get_submodule(f"Mixed_{name}")(x)
        x = F.avg_pool3d(x, (2, _MAP_SIDE, _MAP_SIDE), stride=1)
        return self.logits(x).mean(dim=(2, 3, 4))


def pad_same(x: Float[Tensor, "b c f h w"], kernel: Extent, stride: Extent) -> Float[Tensor, "b c f2 h2 w2"]:
    """Zeros around a map, so that ``ceil(length / stride)`` positions fit; the odd one goes behind."""
    pads: list[int] = []
    for length, size, step in zip(x.shape[2:], kernel, stride, strict=True):
        surplus = max((math.ceil(length / step) - 1) * step + size - length, 0)
        pads = [surplus // 2, surplus - surplus // 2, *pads]  # torch counts axes from the last
    return F.pad(x, pads)


def max_pool(x: Float[Tensor, "b c f h w"], kernel: Extent, stride: Extent) -> Float[Tensor, "b c f2 h2 w2"]:
    """Greatest value around each position; the zeros of the padding count, as in the published code."""
    return F.max_pool3d(pad_same(x, kernel, stride), kernel, stride)


_TORCHSCRIPT_UNIT = re.compile(
    r"(?:(?P<stem>conv3d_1a_7x7|conv3d_2b_1x1|conv3d_2c_3x3)|(?P<head>conv3d_0c_1x1)"
    r"|mixed_(?P<block>\d[a-f])\.branch_(?P<branch>\d)(?:\.(?P<step>\d))?)"
    r"\.(?P<kind>conv3d|batch3d)\.(?P<last>\w+)"
)
_UNITS = {
    ("0", None): "b0",
    ("1", "0"): "b1a",
    ("1", "1"): "b1b",
    ("2", "0"): "b2a",
    ("2", "1"): "b2b",
    ("3", "1"): "b3b",
}


def has_torchscript_names(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the names are those of the torchscript file, whose network has TensorFlow's epsilon."""
    return any(name.startswith("conv3d_1a_7x7.") for name in tensors)


def from_published_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of either published file under this network's names.

    Names that are neither file's stay, so that a strict load names them. ``num_batches_tracked``, which no
    output depends on and old files lack, is made up.
    """
    renamed = {_renamed(name): tensor for name, tensor in tensors.items()}
    for name in [name for name in renamed if name.endswith(".bn.running_var")]:
        counter = name.replace("running_var", "num_batches_tracked")
        renamed.setdefault(counter, torch.zeros((), dtype=torch.int64))
    return renamed


def _renamed(name: str) -> str:
    found = _TORCHSCRIPT_UNIT.fullmatch(name)
    if found is None:
        return name
    if found["stem"]:
        unit = found["stem"].replace("conv3d", "Conv3d")
    elif found["head"]:
        unit = "logits"
    else:
        unit = f"Mixed_{found['block']}.{_UNITS.get((found['branch'], found['step']), 'unknown')}"
    return f"{unit}.{'bn' if found['kind'] == 'batch3d' else 'conv3d'}.{found['last']}"

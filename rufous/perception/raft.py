"""RAFT: optical flow by repeated look-ups in an all-pairs correlation volume.

Key names are those of the published ``raft-things.pth`` without its prefix ``module.``; outputs equal the
published code's on random weights (tests/reference). The published weights were never run here.

Source: Teed and Deng 2020 (arXiv:2003.12039).

Shapes: b batch, c features, h w pixels, y x cells of an eighth of the resolution.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from rufous.core.errors import ConfigError
from rufous.perception.correlation import (
    CorrelationPyramid,
    Padding,
    all_products,
    cell_positions,
    pyramid_bytes,
)

STRIDE = 8  # pixels a side of one cell
MIN_SIDE_PX = 128 - STRIDE + 1  # padded to 128, which four levels of correlation need


@dataclass(frozen=True, kw_only=True)
class RAFTConfig:
    """Architecture of one RAFT; the defaults are the published large one's."""

    encoder_widths: tuple[int, int, int] = (64, 96, 128)
    """Channels of an encoder's stages, at 1/2, 1/4 and 1/8 of the resolution."""
    feature_dim: int = 256
    hidden_dim: int = 128
    """Of the recurrent state, and of the context beside it."""
    corr_levels: int = 4
    corr_radius: int = 4

    def __post_init__(self) -> None:
        if min(*self.encoder_widths, self.feature_dim, self.corr_levels) < 1 or self.corr_radius < 0:
            raise ConfigError(f"{self} has a size that is not positive")
        if self.hidden_dim < 4 or self.hidden_dim % 2:
            raise ConfigError(f"hidden_dim={self.hidden_dim} does not fit RAFT: use an even number from 4")


RAFT_THINGS = RAFTConfig()


class ResidualBlock(nn.Module):
    """Two convolutions and a shortcut, each followed by a norm."""

    def __init__(self, in_channels: int, channels: int, *, stride: int, norm: type[nn.Module]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, padding=1, stride=stride)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm1, self.norm2 = norm(channels), norm(channels)
        if stride > 1:
            self.norm3 = norm(channels)  # published under this name and again as ``downsample.1``
            self.downsample = nn.Sequential(nn.Conv2d(in_channels, channels, 1, stride=stride), self.norm3)
        else:
            self.downsample = nn.Identity()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d y x"]:
        """The sum of both paths, rectified."""
        hidden = F.relu(self.norm1(self.conv1(x)))
        hidden = F.relu(self.norm2(self.conv2(hidden)))
        return F.relu(self.downsample(x) + hidden)


class Encoder(nn.Module):
    """Frames to a feature map of an eighth of their resolution."""

    def __init__(self, config: RAFTConfig, out_channels: int, *, norm: type[nn.Module]) -> None:
        super().__init__()
        first, second, third = config.encoder_widths
        self.norm1 = norm(first)
        self.conv1 = nn.Conv2d(3, first, 7, stride=2, padding=3)
        self.layer1 = _stage(first, first, stride=1, norm=norm)
        self.layer2 = _stage(first, second, stride=2, norm=norm)
        self.layer3 = _stage(second, third, stride=2, norm=norm)
        self.conv2 = nn.Conv2d(third, out_channels, 1)

    def forward(self, frames: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c y x"]:
        """Features of frames in [-1, 1]."""
        hidden = F.relu(self.norm1(self.conv1(frames)))
        return self.conv2(self.layer3(self.layer2(self.layer1(hidden))))


def _stage(in_channels: int, channels: int, *, stride: int, norm: type[nn.Module]) -> nn.Sequential:
    return nn.Sequential(
        ResidualBlock(in_channels, channels, stride=stride, norm=norm),
        ResidualBlock(channels, channels, stride=1, norm=norm),
    )


class MotionEncoder(nn.Module):
    """Correlation and flow of each cell as features, the flow itself among them."""

    def __init__(self, config: RAFTConfig) -> None:
        super().__init__()
        width = config.hidden_dim
        num_correlations = config.corr_levels * (2 * config.corr_radius + 1) ** 2
        self.convc1 = nn.Conv2d(num_correlations, 2 * width, 1)
        self.convc2 = nn.Conv2d(2 * width, 3 * width // 2, 3, padding=1)
        self.convf1 = nn.Conv2d(2, width, 7, padding=3)
        self.convf2 = nn.Conv2d(width, width // 2, 3, padding=1)
        self.conv = nn.Conv2d(2 * width, width - 2, 3, padding=1)

    def forward(
        self, flow: Float[Tensor, "b 2 y x"], correlation: Float[Tensor, "b n y x"]
    ) -> Float[Tensor, "b c y x"]:
        """Features of the motion so far."""
        seen = F.relu(self.convc2(F.relu(self.convc1(correlation))))
        moved = F.relu(self.convf2(F.relu(self.convf1(flow))))
        return torch.cat([F.relu(self.conv(torch.cat([seen, moved], dim=1))), flow], dim=1)


class SeparableGRU(nn.Module):
    """A gated recurrent cell whose convolutions run along rows, then along columns."""

    def __init__(self, hidden_dim: int, input_dim: int) -> None:
        super().__init__()
        for i, kernel in ((1, (1, 5)), (2, (5, 1))):
            padding = (kernel[0] // 2, kernel[1] // 2)
            for gate in "zrq":
                conv = nn.Conv2d(hidden_dim + input_dim, hidden_dim, kernel, padding=padding)
                self.add_module(f"conv{gate}{i}", conv)

    def forward(
        self, state: Float[Tensor, "b c y x"], given: Float[Tensor, "b d y x"]
    ) -> Float[Tensor, "b c y x"]:
        """The next state."""
        for i in (1, 2):
            update, reset, candidate = (self.get_submodule(f"conv{gate}{i}") for gate in "zrq")
            both = torch.cat([state, given], dim=1)
            z, r = update(both).sigmoid(), reset(both).sigmoid()
            proposed = candidate(torch.cat([r * state, given], dim=1)).tanh()
            state = (1 - z) * state + z * proposed
        return state


class FlowHead(nn.Module):
    """The change of flow that a state asks for."""

    def __init__(self, hidden_dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(hidden_dim, 2 * hidden_dim, 3, padding=1)
        self.conv2 = nn.Conv2d(2 * hidden_dim, 2, 3, padding=1)

    def forward(self, state: Float[Tensor, "b c y x"]) -> Float[Tensor, "b 2 y x"]:
        """In cells."""
        return self.conv2(F.relu(self.conv1(state)))


class UpdateBlock(nn.Module):
    """One iteration: motion features, the recurrent cell, and what is read from its state."""

    def __init__(self, config: RAFTConfig) -> None:
        super().__init__()
        hidden = config.hidden_dim
        self.encoder = MotionEncoder(config)
        self.gru = SeparableGRU(hidden, 2 * hidden)
        self.flow_head = FlowHead(hidden)
        self.mask = nn.Sequential(
            nn.Conv2d(hidden, 2 * hidden, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(2 * hidden, 9 * STRIDE**2, 1),
        )

    def forward(
        self,
        state: Float[Tensor, "b c y x"],
        context: Float[Tensor, "b c y x"],
        flow: Float[Tensor, "b 2 y x"],
        correlation: Float[Tensor, "b n y x"],
    ) -> tuple[Float[Tensor, "b c y x"], Float[Tensor, "b 2 y x"]]:
        """The next state and the change of flow."""
        motion = self.encoder(flow, correlation)
        state = self.gru(state, torch.cat([context, motion], dim=1))
        return state, self.flow_head(state)


class RAFT(nn.Module):
    """Optical flow between two frames."""

    def __init__(self, config: RAFTConfig) -> None:
        super().__init__()
        self.config = config
        self.fnet = Encoder(config, config.feature_dim, norm=nn.InstanceNorm2d)
        self.cnet = Encoder(config, 2 * config.hidden_dim, norm=nn.BatchNorm2d)
        self.update_block = UpdateBlock(config)

    def forward(
        self, first: Float[Tensor, "b 3 h w"], second: Float[Tensor, "b 3 h w"], *, num_iterations: int = 20
    ) -> Float[Tensor, "b 2 h w"]:
        """Flow of every pixel of ``first`` to its place in ``second``, (x, y) in pixels.

        Args:
            first: RGB in [0, 255], at least 128 pixels a side, multiples of 8 (see ``flow`` for others).
            second: The same.
            num_iterations: Updates; VBench takes 20.

        Raises:
            ValueError: Sizes that do not fit, or fewer than 1 iteration.
        """
        height, width = first.shape[-2:]
        if height % STRIDE or width % STRIDE:
            raise ValueError(f"frames of {height} x {width} do not fit: pad them to multiples of {STRIDE}")
        if num_iterations < 1:
            raise ValueError(f"num_iterations={num_iterations}: use 1 or more")
        images = torch.cat([first, second]) * (2 / 255) - 1
        features, other_features = self.fnet(images).chunk(2)
        pyramid = CorrelationPyramid(
            all_products(features, other_features),
            levels=self.config.corr_levels,
            radius=self.config.corr_radius,
        )
        state, context = self.cnet(images[: len(first)]).chunk(2, dim=1)
        state, context = state.tanh(), context.relu()
        origin = cell_positions(features)
        flow = torch.zeros_like(origin)
        for _ in range(num_iterations):
            state, change = self.update_block(state, context, flow, pyramid.around(origin + flow))
            flow = flow + change
        return upsample(flow, 0.25 * self.update_block.mask(state))

    def correlation_bytes(self, height: int, width: int) -> int:
        """What a pair of frames takes at least, in pixels: 1.1 GB at 720p, 89 GB at 2160p."""
        cells = (-(-side // STRIDE) for side in (height, width))
        return pyramid_bytes(*cells, levels=self.config.corr_levels)

    def flow(
        self,
        first: Float[Tensor, "b 3 h w"],
        second: Float[Tensor, "b 3 h w"],
        *,
        num_iterations: int = 20,
        keep_padding: bool = False,
    ) -> Float[Tensor, "b 2 _ _"]:
        """The same for frames of any size from ``MIN_SIDE_PX`` a side, with borders repeated.

        Args:
            first: RGB in [0, 255].
            second: RGB in [0, 255].
            num_iterations: Updates.
            keep_padding: Return the flow of the padded frames, which is what VBench measures.
        """
        padding = Padding.to_multiple(first, STRIDE)
        flow = self(padding.add(first), padding.add(second), num_iterations=num_iterations)
        return flow if keep_padding else padding.remove(flow)


def upsample(
    flow: Float[Tensor, "b 2 y x"], weights: Float[Tensor, "b n y x"]
) -> Float[Tensor, "b 2 8*y 8*x"]:
    """Flow in pixels at full resolution: each pixel a convex combination of the 3 x 3 cells around its own.

    Args:
        flow: In cells.
        weights: Logits; 9 for each of the 64 pixels of a cell.
    """
    height, width = flow.shape[-2:]
    around = F.unfold(STRIDE * flow, 3, padding=1)
    around = rearrange(around, "b (two k) (y x) -> b two k 1 1 y x", two=2, y=height, x=width)
    shares = rearrange(weights, "b (k i j) y x -> b 1 k i j y x", k=9, i=STRIDE).softmax(dim=2)
    return rearrange((shares * around).sum(dim=2), "b two i j y x -> b two (y i) (x j)")


def from_published_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a published file, without the prefix of the wrapper it was trained in."""
    return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}

"""AMT-S: the frame between two others, by flow from both sides that all-pairs correlation corrects.

Key names are those of the published ``amt-s.pth``; outputs equal the published code's on random weights
(tests/reference). The published weights were never run here. The published code's processing at reduced
scale is left out: VBench never uses it.

Source: Li et al. 2023 (arXiv:2304.09790), built on IFRNet, Kong et al. 2022 (arXiv:2205.14620).

Shapes: b batch, c features, h w pixels or cells, n flow fields. Of a pair, ``first`` is shown at time 0 and
``second`` at time 1; flow goes from the wanted frame to them, (x, y) in pixels of its resolution.
"""

from dataclasses import dataclass
from typing import TypeAlias

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
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

STRIDE = 16  # of the coarsest features
MIN_SIDE_PX = 128 - STRIDE + 1  # padded to 128, which four levels of correlation need
_SLOPE = 0.1  # of leaky rectifiers

Features: TypeAlias = Float[Tensor, "b _ _ _"]
Flows: TypeAlias = Float[Tensor, "b 4 _ _"]
"""To the first frame, then to the second."""


@dataclass(frozen=True, kw_only=True)
class AMTConfig:
    """Architecture of one AMT; the defaults are AMT-S's."""

    corr_radius: int = 3
    corr_levels: int = 4
    num_flows: int = 3
    """Flow fields whose warped frames are blended."""
    channels: tuple[int, int, int, int] = (20, 32, 44, 56)
    """Of the features at 1/2, 1/4, 1/8 and 1/16 of the resolution."""
    skip_channels: int = 20
    """Of a residual block, how many channels pass through convolutions of their own."""

    def __post_init__(self) -> None:
        sizes = (self.corr_levels, self.num_flows, self.skip_channels, *self.channels)
        if min(sizes) < 1 or self.corr_radius < 0:
            raise ConfigError(f"{self} has a size that is not positive")
        if self.skip_channels >= 2 * min(self.channels):
            raise ConfigError(
                f"skip_channels={self.skip_channels} does not fit channels={self.channels}: "
                "use fewer than twice the least"
            )


AMT_S = AMTConfig()


class Bottleneck(nn.Module):
    """Three convolutions over a quarter of the channels, and a shortcut."""

    def __init__(self, in_channels: int, channels: int, *, stride: int) -> None:
        super().__init__()
        narrow = channels // 4
        self.conv1 = nn.Conv2d(in_channels, narrow, 1)
        self.conv2 = nn.Conv2d(narrow, narrow, 3, padding=1, stride=stride)
        self.conv3 = nn.Conv2d(narrow, channels, 1)
        self.norm1, self.norm2, self.norm3 = (nn.InstanceNorm2d(n) for n in (narrow, narrow, channels))
        self.downsample = (
            nn.Sequential(nn.Conv2d(in_channels, channels, 1, stride=stride), nn.InstanceNorm2d(channels))
            if stride > 1
            else nn.Identity()
        )

    def forward(self, x: Features) -> Features:
        """The sum of both paths, rectified."""
        hidden = F.relu(self.norm1(self.conv1(x)))
        hidden = F.relu(self.norm2(self.conv2(hidden)))
        hidden = F.relu(self.norm3(self.conv3(hidden)))
        return F.relu(self.downsample(x) + hidden)


class CorrelationEncoder(nn.Module):
    """Frames to the features that are correlated, at an eighth of their resolution."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.InstanceNorm2d(32)
        self.conv1 = nn.Conv2d(3, 32, 7, stride=2, padding=3)
        self.layer1 = nn.Sequential(Bottleneck(32, 32, stride=1), Bottleneck(32, 32, stride=1))
        self.layer2 = nn.Sequential(Bottleneck(32, 64, stride=2), Bottleneck(64, 64, stride=1))
        self.layer3 = nn.Sequential(Bottleneck(64, 96, stride=2), Bottleneck(96, 96, stride=1))
        self.conv2 = nn.Conv2d(96, 84, 1)

    def forward(self, frames: Float[Tensor, "b 3 h w"]) -> Features:
        """Features for ``all_products``."""
        hidden = F.relu(self.norm1(self.conv1(frames)))
        return self.conv2(self.layer3(self.layer2(self.layer1(hidden))))


def _conv_prelu(in_channels: int, channels: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1), nn.PReLU(channels))


class PyramidEncoder(nn.Module):
    """Frames to features at four resolutions."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.num_levels = len(channels)
        for i, (before, after) in enumerate(zip((3, *channels), channels, strict=False), start=1):
            stage = nn.Sequential(_conv_prelu(before, after, stride=2), _conv_prelu(after, after))
            self.add_module(f"pyramid{i}", stage)

    def forward(self, frames: Float[Tensor, "b 3 h w"]) -> list[Features]:
        """From fine to coarse."""
        levels, hidden = [], frames
        for i in range(1, self.num_levels + 1):
            hidden = self.get_submodule(f"pyramid{i}")(hidden)
            levels.append(hidden)
        return levels


class SideResidualBlock(nn.Module):
    """Five convolutions; two of them see the last ``side`` channels only."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.sizes = (channels - side, side)
        self.conv1, self.conv3 = _conv_prelu(channels, channels), _conv_prelu(channels, channels)
        self.conv2, self.conv4 = _conv_prelu(side, side), _conv_prelu(side, side)
        self.conv5 = nn.Conv2d(channels, channels, 3, padding=1)
        self.prelu = nn.PReLU(channels)

    def forward(self, x: Features) -> Features:
        """The residual sum, rectified."""
        hidden = self.conv1(x)
        for on_side, on_all in ((self.conv2, self.conv3), (self.conv4, self.conv5)):
            main, side = hidden.split(self.sizes, dim=1)
            hidden = on_all(torch.cat([main, on_side(side)], dim=1))
        return self.prelu(x + hidden)


class Decoder(nn.Module):
    """Features of one resolution to what is read at twice that; ``convblock`` is its published name."""

    def __init__(self, in_channels: int, width: int, out_channels: int, side: int) -> None:
        super().__init__()
        self.convblock = nn.Sequential(
            _conv_prelu(in_channels, width),
            SideResidualBlock(width, side),
            nn.ConvTranspose2d(width, out_channels, 4, stride=2, padding=1),
        )

    def forward(self, x: Features) -> Features:
        """Raw outputs at twice the resolution."""
        return self.convblock(x)


class UpdateBlock(nn.Module):
    """What correlation says about the flows: changes of the features and of the flows."""

    def __init__(self, channels: int, config: AMTConfig, *, scale: int) -> None:
        super().__init__()
        self.scale = scale
        num_correlations = 2 * config.corr_levels * (2 * config.corr_radius + 1) ** 2
        self.convc1 = nn.Conv2d(num_correlations, 64, 1)
        self.convf1 = nn.Conv2d(4, 40, 7, padding=3)
        self.convf2 = nn.Conv2d(40, 20, 3, padding=1)
        self.conv = nn.Conv2d(64 + 20, 68, 3, padding=1)
        self.gru = _two_convs(68 + 4 + channels, 76)  # no recurrence; so named in the published file
        self.feat_head = _two_convs(76, channels)
        self.flow_head = _two_convs(76, 4)

    def forward(self, features: Features, flows: Flows, correlation: Features) -> tuple[Features, Flows]:
        """Changes at the resolution of ``features``; the other arguments are at an eighth of the frames'."""
        seen = F.leaky_relu(self.convc1(correlation), _SLOPE)
        moved = F.leaky_relu(self.convf1(flows), _SLOPE)
        moved = F.leaky_relu(self.convf2(moved), _SLOPE)
        motion = F.leaky_relu(self.conv(torch.cat([seen, moved], dim=1)), _SLOPE)
        hidden = self.gru(torch.cat([motion, flows, _resize(features, 1 / self.scale)], dim=1))
        change = _resize(self.feat_head(hidden), self.scale)
        return change, self.scale * _resize(self.flow_head(hidden), self.scale)


def _two_convs(in_channels: int, channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, 76, 3, padding=1),
        nn.LeakyReLU(_SLOPE),
        nn.Conv2d(76, channels, 3, padding=1),
    )


class AMT(nn.Module):
    """The frame at a time between two frames."""

    def __init__(self, config: AMTConfig) -> None:
        super().__init__()
        self.config = config
        one, two, three, four = config.channels
        side, n = config.skip_channels, config.num_flows
        self.feat_encoder = CorrelationEncoder()
        self.encoder = PyramidEncoder(config.channels)
        self.decoder4 = Decoder(2 * four + 1, 2 * four, three + 4, side)
        self.decoder3 = Decoder(3 * three + 4, 3 * three, two + 4, side)
        self.decoder2 = Decoder(3 * two + 4, 3 * two, one + 4, side)
        self.decoder1 = Decoder(3 * one + 4, 3 * one, 8 * n, side)
        self.update4 = UpdateBlock(three, config, scale=1)
        self.update3 = UpdateBlock(two, config, scale=2)
        self.update2 = UpdateBlock(one, config, scale=4)
        self.comb_block = nn.Sequential(
            nn.Conv2d(3 * n, 6 * n, 3, padding=1), nn.PReLU(6 * n), nn.Conv2d(6 * n, 3, 3, padding=1)
        )

    def forward(
        self, first: Float[Tensor, "b 3 h w"], second: Float[Tensor, "b 3 h w"], *, time: float = 0.5
    ) -> Float[Tensor, "b 3 h w"]:
        """The frame at ``time``.

        Args:
            first: RGB in [0, 1], at least 128 pixels a side, multiples of 16 (see ``interpolate``).
            second: The same.
            time: Between 0, where ``first`` is, and 1, where ``second`` is.

        Raises:
            ValueError: Sizes that do not fit, or a time that is not between the frames.
        """
        height, width = first.shape[-2:]
        if height % STRIDE or width % STRIDE:
            raise ValueError(f"frames of {height} x {width} do not fit: pad them to multiples of {STRIDE}")
        if not 0 < time < 1:
            raise ValueError(f"time={time} is not between the frames: use more than 0 and less than 1")
        mean = torch.stack([first, second]).mean(dim=(0, 2, 3, 4)).reshape(-1, 1, 1, 1)
        images = first - mean, second - mean
        pyramids = self._correlate(*images)
        levels = list(zip(self.encoder(images[0]), self.encoder(images[1]), strict=True))

        # 1/16 -> 1/8: the first flows, from both frames' features and the time
        coarse = levels[3]
        times = coarse[0].new_full((len(first), 1, *coarse[0].shape[-2:]), time)
        flows, features = _cut(self.decoder4(torch.cat([*coarse, times], dim=1)))
        features, flows = self._update(self.update4, features, flows, pyramids, time)

        # 1/8 -> 1/4 -> 1/2: finer flows, corrected by the same correlation
        for decoder, update, pair in (
            (self.decoder3, self.update3, levels[2]),
            (self.decoder2, self.update2, levels[1]),
        ):
            change, features = _cut(decoder(_warped(features, pair, flows)))
            flows = change + 2 * _resize(flows, 2)
            features, flows = self._update(update, features, flows, pyramids, time)

        # 1/2 -> 1: several flows, a mask and a correction for each
        out = self.decoder1(_warped(features, levels[0], flows))
        return self._blend(images, 2 * _resize(flows, 2), out, mean).clamp(0, 1)

    def correlation_bytes(self, height: int, width: int) -> int:
        """What a pair of frames takes at least, in pixels: twice RAFT's, as correlation is read both ways."""
        cells = (-(-side // STRIDE) * STRIDE // 8 for side in (height, width))
        return 2 * pyramid_bytes(*cells, levels=self.config.corr_levels)

    def interpolate(
        self, first: Float[Tensor, "b 3 h w"], second: Float[Tensor, "b 3 h w"], *, time: float = 0.5
    ) -> Float[Tensor, "b 3 h w"]:
        """The same for frames of any size from ``MIN_SIDE_PX`` a side, with borders repeated."""
        padding = Padding.to_multiple(first, STRIDE)
        return padding.remove(self(padding.add(first), padding.add(second), time=time))

    def _correlate(self, first: Tensor, second: Tensor) -> tuple[CorrelationPyramid, CorrelationPyramid]:
        """Correlation read from the first frame's cells, and from the second's."""
        features, other_features = self.feat_encoder(torch.cat([first, second])).chunk(2)
        products = all_products(features, other_features)
        levels, radius = self.config.corr_levels, self.config.corr_radius
        return (
            CorrelationPyramid(products, levels=levels, radius=radius),
            CorrelationPyramid(rearrange(products, "b h w u v -> b u v h w"), levels=levels, radius=radius),
        )

    def _update(
        self,
        update: UpdateBlock,
        features: Features,
        flows: Flows,
        pyramids: tuple[CorrelationPyramid, CorrelationPyramid],
        time: float,
    ) -> tuple[Features, Flows]:
        """Features and flows with what correlation adds to them.

        Motion is taken as linear: flow over its share of the time is the flow from one frame to the other.
        """
        at_eighth = _resize(flows, 1 / update.scale) / update.scale
        to_first, to_second = at_eighth.chunk(2, dim=1)
        origin = cell_positions(at_eighth)
        correlation = [
            pyramids[0].around(origin + to_second / time),
            pyramids[1].around(origin + to_first / (1 - time)),
        ]
        change, flow_change = update(features, at_eighth, torch.cat(correlation, dim=1))
        return features + change, flows + flow_change

    def _blend(
        self, images: tuple[Tensor, Tensor], flows: Flows, out: Features, mean: Tensor
    ) -> Float[Tensor, "b 3 h w"]:
        """The mean of the frames that the flow fields give, and what ``comb_block`` makes of them all."""
        n = self.config.num_flows
        to_first, to_second, masks, rest = out.split([2 * n, 2 * n, n, 3 * n], dim=1)
        warped = []
        for image, change, flow in zip(images, (to_first, to_second), flows.chunk(2, dim=1), strict=True):
            fields = rearrange(change, "b (n two) h w -> b n two h w", n=n) + flow[:, None]
            copies = repeat(image, "b c h w -> (b n) c h w", n=n)
            moved = warp(copies, rearrange(fields, "b n two h w -> (b n) two h w"))
            warped.append(rearrange(moved, "(b n) c h w -> b n c h w", n=n))
        share = rearrange(masks.sigmoid(), "b n h w -> b n 1 h w")
        rest = rearrange(rest, "b (n c) h w -> b n c h w", n=n)
        frames = share * warped[0] + (1 - share) * warped[1] + mean[:, None] + rest
        return frames.mean(dim=1) + self.comb_block(rearrange(frames, "b n c h w -> b (n c) h w"))


def warp(image: Float[Tensor, "b c h w"], flow: Float[Tensor, "b 2 h w"]) -> Float[Tensor, "b c h w"]:
    """``image`` read where ``flow`` points to, bilinear; its border is repeated outwards."""
    height, width = flow.shape[-2:]
    scale = torch.tensor([width - 1, height - 1], dtype=flow.dtype, device=flow.device)
    points = rearrange(cell_positions(flow) + flow, "b two h w -> b h w two")
    return F.grid_sample(image, 2 * points / scale - 1, padding_mode="border", align_corners=True)


def _warped(features: Features, pair: tuple[Tensor, Tensor], flows: Flows) -> Features:
    """What a decoder reads: its features, both frames' features warped to the wanted time, and the flows."""
    to_first, to_second = flows.chunk(2, dim=1)
    return torch.cat([features, warp(pair[0], to_first), warp(pair[1], to_second), flows], dim=1)


def _cut(out: Features) -> tuple[Flows, Features]:
    return out[:, :4], out[:, 4:]


def _resize(x: Features, factor: float | int) -> Features:
    if factor == 1:
        return x
    return F.interpolate(x, scale_factor=float(factor), mode="bilinear", align_corners=False)

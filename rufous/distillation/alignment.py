"""Representation alignment: a block of the denoiser must know what a frozen model sees in the clean clip.

A denoiser learns from pixels how to finish what it half sees, and only slowly what a prompt means for frames
that are all noise: which way things go moves the pixel loss by a fraction of a per cent. In the features of a
video-text model the same is a large part of the variance, so a small head on one block that predicts them
teaches it early. The head is thrown away after training.

Source: Yu et al. 2024, REPA (arXiv:2410.06940); here one prediction for each frame, by squared error, since
the mean of what is possible is what a denoiser needs at high noise.

Shapes: b batch, f frames, c channels, h w size of the block's output, e features.
"""

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn


class FeatureAlignment(nn.Module):
    """Head and loss; owns the head's weights and the hook on the block."""

    def __init__(self, block: nn.Module, *, in_features: int, num_features: int, width: int = 256) -> None:
        """Watch ``block``, whose output is ``[(b f) c h w]``.

        Args:
            block: Of the network in training.
            in_features: ``c * h * w`` of its output; places count, as motion is a change of place.
            num_features: e of the frozen model.
            width: Of the head's hidden layer.
        """
        super().__init__()
        self.head = nn.Sequential(nn.Linear(in_features, width), nn.SiLU(), nn.Linear(width, num_features))
        self._output: Tensor | None = None
        block.register_forward_hook(self._keep)

    def loss(self, features: Float[Tensor, "b f e"]) -> Float[Tensor, ""]:
        """Mean squared error of the head on the block's last output, in units of the features' variance.

        Args:
            features: Of each frame of the clean clips, with mean 0 and deviation 1 over the data.

        Raises:
            ValueError: The block has not run, or on other frames.
        """
        output, self._output = self._output, None
        if output is None or len(output) != features.shape[0] * features.shape[1]:
            frames = None if output is None else len(output)
            raise ValueError(
                f"the aligned block ran on {frames} frames and there are features of "
                f"{features.shape[0] * features.shape[1]}: run the network on the same batch first"
            )
        predicted = self.head(output.flatten(1))
        return (predicted.float() - rearrange(features, "b f e -> (b f) e").float()).square().mean()

    def _keep(self, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        self._output = output if self.training else None

"""LAION's aesthetic predictors over unit embeddings of CLIP ViT-L/14: one linear layer, and five.

Key names are those of the published ``sa_0_4_vit_l_14_linear.pth``, which VBench measures with, and of
``sac+logos+ava1-l14-linearMSE.pth``, which Open-Sora chooses training clips with.

Source: Schuhmann et al. 2022 (arXiv:2210.08402), LAION-5B, section on aesthetics; for the second, the
repository christophschuhmann/improved-aesthetic-predictor.

Shapes: b batch, e embedding features.
"""

import itertools

import torch
from jaxtyping import Float
from torch import Tensor, nn


class AestheticHead(nn.Module):
    """How much people like an image, about 1 to 10; higher is better, and nothing is clipped."""

    def __init__(self, embed_dim: int = 768) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, embed_dim))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, embeddings: Float[Tensor, "b e"]) -> Float[Tensor, " b"]:
        """Score of each unit embedding (``CLIP.encode_image``)."""
        return embeddings @ self.weight[0] + self.bias


class AestheticMLP(nn.Module):
    """The same question by five linear layers; nothing bends between them, so together they are one map."""

    def __init__(self, embed_dim: int = 768, widths: tuple[int, ...] = (1024, 128, 64, 16)) -> None:
        super().__init__()
        sizes = [embed_dim, *widths, 1]
        self.layers = nn.Sequential()
        for number, (narrow, wide) in enumerate(itertools.pairwise(sizes)):
            self.layers.append(nn.Linear(narrow, wide))
            if number < 3:
                self.layers.append(nn.Identity())  # dropout in training; it keeps the published numbering

    def forward(self, embeddings: Float[Tensor, "b e"]) -> Float[Tensor, " b"]:
        """Score of each unit embedding (``CLIP.encode_image``)."""
        return self.layers(embeddings)[:, 0]

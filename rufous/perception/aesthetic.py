"""LAION's first aesthetic predictor: one linear layer over unit embeddings of CLIP ViT-L/14.

Key names are those of the published ``sa_0_4_vit_l_14_linear.pth``, the head that VBench uses. It is not the
later one with five layers.

Source: Schuhmann et al. 2022 (arXiv:2210.08402), LAION-5B, section on aesthetics.

Shapes: b batch, e embedding features.
"""

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

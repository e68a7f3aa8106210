"""A very small DOVER."""

from rufous.perception.convnext3d import ConvNeXt3DConfig
from rufous.perception.dover import DOVERConfig
from rufous.perception.gated_swin import GatedSwinConfig

TINY_DOVER = DOVERConfig(
    technical=GatedSwinConfig(
        embed_dim=4, depths=(2, 1), num_heads=(1, 2), window_size=(2, 3, 3), frag_biases=(True, False)
    ),
    aesthetic=ConvNeXt3DConfig(depths=(1, 1), dims=(4, 6), inflation=(3,)),
    head_width=4,
)

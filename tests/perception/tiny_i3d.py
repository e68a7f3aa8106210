"""A very narrow I3D, and the torchscript file's names for its tensors."""

import re

from torch import Tensor

from rufous.perception.i3d import I3DConfig

TINY_I3D = I3DConfig(num_classes=6, stem=(2, 2, 4), mixed=((1, 1, 2, 1, 1, 1),) * 9)
_BRANCHES = {"b0": "branch_0", "b1a": "branch_1.0", "b1b": "branch_1.1", "b2a": "branch_2.0"} | {
    "b2b": "branch_2.1",
    "b3b": "branch_3.1",
}


def torchscript_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Written the other way round than the code under test: by words, not by one pattern."""
    renamed = {}
    for name, tensor in tensors.items():
        text = name.replace("Conv3d_", "conv3d_").replace("Mixed_", "mixed_").replace(".bn.", ".batch3d.")
        text = text.replace("logits.", "conv3d_0c_1x1.")
        text = re.sub(r"\.(b\d[ab]?)\.", lambda found: f".{_BRANCHES[found[1]]}.", text)
        renamed[text] = tensor
    return renamed

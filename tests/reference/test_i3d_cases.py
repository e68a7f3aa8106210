"""I3D in both published implementations: that of VideoGPT's file and that of the torchscript."""

from dataclasses import fields

import torch

from rufous.perception.i3d import I3D, I3DConfig, from_published_names


def config_of(values) -> I3DConfig:
    assert {field.name for field in fields(I3DConfig)} == set(values)
    return I3DConfig(
        num_classes=values["num_classes"],
        norm_eps=values["norm_eps"],
        stem=tuple(values["stem"]),
        mixed=tuple(tuple(widths) for widths in values["mixed"]),
    )


@torch.inference_mode()
def test_i3d_computes_what_the_published_ones_do(i3d_case, assert_close):
    weights = i3d_case.weights()
    weights |= {name: 1 + weights[name] for name in i3d_case.info["one_plus"]}
    network = I3D(config_of(i3d_case.info["config"])).eval()
    network.load_state_dict(from_published_names(weights))
    assert_close(network(i3d_case.inputs()["pixels"].clamp(-1, 1)), i3d_case.stored["output"])

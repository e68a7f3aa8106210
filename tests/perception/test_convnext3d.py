"""How far kernels reach; parity with the published code is in tests/reference."""

import pytest
import torch

from rufous.core.errors import ConfigError
from rufous.perception.convnext3d import ConvNeXt3D, ConvNeXt3DConfig
from tests.perception.tiny_towers import randomize


@pytest.mark.parametrize(("inflation", "reached"), [((1,), 1), ((3,), 3), ((1, 3, 1), 3)])
def test_frames_meet_as_far_as_the_kernels_span(inflation, reached):
    network = randomize(
        ConvNeXt3D(
            ConvNeXt3DConfig(depths=(3,) if len(inflation) == 3 else (1,), dims=(4,), inflation=inflation)
        )
    )
    video = torch.rand(1, 3, 10, 16, 16)
    changed = video.clone()
    changed[:, :, 4:6] += 1  # the third of five tokens in time
    differs = (network(video) - network(changed)).abs().amax(dim=(0, 1, 3, 4)) > 1e-6
    assert int(differs.sum()) == reached


def test_kernels_span_odd_numbers_of_frames():
    with pytest.raises(ConfigError, match=r"inflation=\(2,\)"):
        ConvNeXt3DConfig(inflation=(2,))
    with pytest.raises(ConfigError, match="must name as many stages"):
        ConvNeXt3DConfig(dims=(4,))

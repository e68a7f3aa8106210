"""VideoMAE's features against the published code are in ``tests/reference``."""

import pytest
import torch

from rufous.perception.video_transformers import VJEPA2, VideoMAE, VideoMAEConfig, VJEPA2Config
from tests.perception.tiny_transformers import TINY_VIDEOMAE, TINY_VJEPA


def test_full_networks_have_the_published_sizes():
    with torch.device("meta"):
        giant, large = VideoMAE(VideoMAEConfig()), VJEPA2(VJEPA2Config())
    assert giant.fc_norm.weight.shape == (1408,)
    # 40 layers of attention, two norms and an MLP; one convolution; the last norm
    layer = 4 * 1408**2 + 3 * 1408 + 2 * 1408 * 6144 + 1408 + 6144 + 4 * 1408
    patches = 3 * 2 * 14 * 14 * 1408 + 1408
    assert sum(weight.numel() for weight in giant.parameters()) == 40 * layer + patches + 2 * 1408
    assert large.model.classifier.weight.shape == (174, 1024)


def test_the_feature_of_v_jepa_is_what_its_classifier_reads():
    network = VJEPA2(TINY_VJEPA).eval()
    pixels = torch.randn(2, 4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = network.model(pixel_values_videos=pixels).logits
        torch.testing.assert_close(network.model.classifier(network(pixels)), logits)


def test_clips_of_other_lengths_and_sizes_are_refused():
    with pytest.raises(ValueError, match="3 frames of 32x32 do not fit: this network reads 4 of 32x32"):
        VideoMAE(TINY_VIDEOMAE)(torch.zeros(1, 3, 3, 32, 32))
    with pytest.raises(ValueError, match="4 frames of 16x32"):
        VJEPA2(TINY_VJEPA)(torch.zeros(1, 4, 3, 32, 16))

"""OpenCLIP's text tower, read after the last block and after the one before."""

from dataclasses import replace

import pytest
import torch

from rufous.networks.text_encoders import TextEncoder, TextEncoderConfig


@pytest.mark.parametrize("layer", ["penultimate", "last"])
@torch.inference_mode()
def test_a_text_tower_computes_what_the_published_one_does(text_case, layer, assert_close):
    config = replace(TextEncoderConfig.from_reference(text_case.info["config"]), layer=layer)
    encoder = TextEncoder(config)
    encoder.load_state_dict(text_case.weights())
    assert_close(encoder(text_case.stored["input_ids"]), text_case.stored[layer])

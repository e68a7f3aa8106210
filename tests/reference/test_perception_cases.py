"""The networks that measure clips: flow, interpolation, quality, actions, features."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from rufous.networks.text_encoders import TextEncoderConfig
from rufous.perception.amt import AMT, AMT_S
from rufous.perception.clip import CLIP, CLIPConfig, from_openclip_names
from rufous.perception.convnext3d import ConvNeXt3DConfig
from rufous.perception.dino import DINO, DINO_B_16, DINOConfig
from rufous.perception.dover import DOVER, DOVERConfig
from rufous.perception.gated_swin import GatedSwinConfig
from rufous.perception.musiq import MUSIQ, MUSIQ_SPAQ, MUSIQConfig
from rufous.perception.preprocessing import Preprocessing
from rufous.perception.raft import RAFT, RAFT_THINGS
from rufous.perception.umt import UMT, UMT_L_16_K400, UMTConfig, sinusoid_positions
from rufous.perception.viclip import ViCLIP, ViCLIPConfig

FULL_SIZE: dict[str, Callable[[], nn.Module]] = {
    "musiq": lambda: MUSIQ(MUSIQ_SPAQ),
    "umt": lambda: UMT(UMT_L_16_K400),
    "dino": lambda: DINO(DINO_B_16),
    "viclip": lambda: ViCLIP(ViCLIPConfig()),
    "dover": lambda: DOVER(DOVERConfig()),
}


def filled(network: nn.Module, case) -> nn.Module:
    """The network with the case's weights; strict in both directions."""
    own = network.state_dict()
    kept = {name: own[name] for name in case.info.get("untouched", ())}
    network.load_state_dict({**case.weights(), **kept}, strict=True)
    return network.eval()


def images(inputs: dict[str, Tensor], *, scale: float, middle: float, high: float) -> dict[str, Tensor]:
    return {name: (scale * values + middle).clamp(0, high) for name, values in inputs.items()}


def text_config(fields: dict) -> TextEncoderConfig:
    return TextEncoderConfig(
        vocab_size=fields["vocab_size"],
        context_length=fields["context_length"],
        width=fields["transformer_width"],
        heads=fields["transformer_heads"],
        layers=fields["transformer_layers"],
        embed_dim=fields["embed_dim"],
        quick_gelu=True,
        layer="last",
    )


@torch.inference_mode()
def test_raft_sees_the_published_flow(raft_case, assert_close):
    network = filled(RAFT(RAFT_THINGS), raft_case)
    frames = images(raft_case.inputs(), scale=60, middle=128, high=255)
    first = frames["first"]
    second = 0.5 * first.roll((2, -3), (2, 3)) + 0.5 * frames["second"]
    iterations = raft_case.info["num_iterations"]
    flow = network.flow(first, second, num_iterations=iterations, keep_padding=True)
    assert_close(flow, raft_case.stored["output"])


@torch.inference_mode()
def test_amt_makes_the_published_frame(amt_case, assert_close):
    network = filled(AMT(AMT_S), amt_case)
    frames = images(amt_case.inputs(), scale=0.25, middle=0.5, high=1)
    assert_close(network.interpolate(**frames), amt_case.stored["output"])
    earlier = network.interpolate(**frames, time=0.3)[..., :48, :48]
    assert_close(earlier, amt_case.stored["output_time_0.3"])


@torch.inference_mode()
def test_musiq_gives_the_published_scores(musiq_case, assert_close):
    network = filled(MUSIQ(MUSIQConfig.from_reference(musiq_case.info["config"])), musiq_case)
    for name, frames in images(musiq_case.inputs(), scale=0.25, middle=0.5, high=1).items():
        assert_close(network(frames), musiq_case.stored[name])


@torch.inference_mode()
def test_umt_gives_the_published_logits(umt_case, assert_close):
    network = UMT(UMTConfig.from_reference(umt_case.info["config"]))
    assert_close(network.pos_embed, umt_case.stored["positions"])
    assert_close(filled(network, umt_case)(umt_case.inputs()["pixels"]), umt_case.stored["output"])
    assert_close(sinusoid_positions(UMT_L_16_K400)[0, ::97, ::61], umt_case.stored["full_positions_part"])


@torch.inference_mode()
def test_dino_gives_the_published_features(dino_case, assert_close):
    network = filled(DINO(DINOConfig(**dino_case.info["config"])), dino_case)
    for name, pixels in dino_case.inputs().items():
        assert_close(network(pixels), dino_case.stored[name])


@torch.inference_mode()
def test_viclip_gives_the_published_embeddings(viclip_case, assert_close):
    fields = viclip_case.info["config"]
    config = ViCLIPConfig(
        text=text_config(fields),
        num_frames=fields["num_frames"],
        patch_size=fields["patch_size"],
        width=fields["width"],
        heads=fields["heads"],
        layers=fields["layers"],
        preprocessing=Preprocessing(size=fields["input_resolution"]),
    )
    network = filled(ViCLIP(config), viclip_case)
    assert_close(network.vision_encoder(viclip_case.inputs()["pixels"]), viclip_case.stored["vision"])
    assert_close(network.text_encoder.pooled(viclip_case.stored["input_ids"]), viclip_case.stored["text"])


@torch.inference_mode()
def test_clip_gives_the_embeddings_of_openais_code(clip_case, assert_close):
    fields = clip_case.info["config"]
    config = CLIPConfig(
        text=text_config(fields),
        patch_size=fields["vision_patch_size"],
        width=fields["vision_width"],
        heads=fields["vision_width"] // 64,
        layers=fields["vision_layers"],
        preprocessing=Preprocessing(size=fields["image_resolution"]),
    )
    network = CLIP(config).eval()
    network.model.load_state_dict(from_openclip_names(clip_case.weights()), strict=True)
    frames = (0.3 * clip_case.inputs()["frames"]).clamp(-1, 1)
    assert_close(network.encode_image(frames), clip_case.stored["image"])
    ids = clip_case.stored["input_ids"]
    mask = torch.arange(ids.shape[1]) <= ids.argmax(dim=1)[:, None]
    assert_close(network.encode_text(ids, mask), clip_case.stored["text"])


@torch.inference_mode()
def test_dover_gives_the_published_maps_of_scores(dover_case, assert_close):
    fields = dover_case.info["config"]
    technical, aesthetic = (
        {name: tuple(value) if isinstance(value, list) else value for name, value in fields[branch].items()}
        for branch in ("technical", "aesthetic")
    )
    config = DOVERConfig(
        technical=GatedSwinConfig(**technical),
        aesthetic=ConvNeXt3DConfig(**aesthetic),
        head_width=fields["hidden_channels"],
    )
    network, inputs = filled(DOVER(config), dover_case), dover_case.inputs()
    scores = network.technical_head(network.technical_backbone(inputs["mosaics"]))
    assert_close(scores, dover_case.stored["technical"])
    assert_close(network.technical(inputs["mosaics"]), scores.mean(dim=(1, 2, 3, 4)))
    scores = network.aesthetic_head(network.aesthetic_backbone(inputs["video"]))
    assert_close(scores, dover_case.stored["aesthetic"])
    assert_close(network.aesthetic(inputs["video"]), scores.mean(dim=(1, 2, 3, 4)))


def test_a_full_size_network_has_the_published_keys_and_shapes(perception_manifest):
    with torch.device("meta"):
        network = FULL_SIZE[perception_manifest.name.rsplit("_", 1)[-1]]()
    shapes = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    assert shapes == perception_manifest.info["tensors"]
    assert sum(tensor.numel() for tensor in network.parameters()) == perception_manifest.info["parameters"]


@pytest.mark.parametrize(
    ("build", "parameters", "tensors"),
    [
        (lambda: RAFT(RAFT_THINGS), 5_257_536, 179),
        (lambda: AMT(AMT_S), 2_990_543, 213),
        (lambda: MUSIQ(MUSIQ_SPAQ), 27_125_825, 248),
        (lambda: UMT(UMT_L_16_K400), 306_695_568, 319),
        (lambda: DINO(DINO_B_16), 85_798_656, 150),
    ],
    ids=["raft", "amt", "musiq", "umt", "dino"],
)
def test_sizes_are_the_published_ones(build, parameters, tensors):
    with torch.device("meta"):
        network = build()
    counts = (sum(tensor.numel() for tensor in network.parameters()), len(network.state_dict()))
    assert counts == (parameters, tensors)

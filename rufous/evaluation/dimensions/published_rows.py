"""VBench's own rows on its own networks, from the files that a user has put in place."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from rufous.checkpoints.tokenizers import clip_tokenizer
from rufous.checkpoints.vbench import find_vbench_file
from rufous.core.files import sha256_of
from rufous.evaluation import backbones
from rufous.evaluation.dimensions.aesthetic_quality import AestheticQuality
from rufous.evaluation.dimensions.appearance_style import AppearanceStyle
from rufous.evaluation.dimensions.background_consistency import BackgroundConsistency
from rufous.evaluation.dimensions.consistency import EmbedText
from rufous.evaluation.dimensions.dimension import Dimension
from rufous.evaluation.dimensions.dynamic_degree import DynamicDegree
from rufous.evaluation.dimensions.human_action import HumanAction
from rufous.evaluation.dimensions.imaging_quality import ImagingQuality
from rufous.evaluation.dimensions.loaded_row import LoadedRow
from rufous.evaluation.dimensions.motion_smoothness import MotionSmoothness
from rufous.evaluation.dimensions.overall_consistency import OverallConsistency
from rufous.evaluation.dimensions.subject_consistency import SubjectConsistency
from rufous.evaluation.dimensions.temporal_style import TemporalStyle
from rufous.perception.clip import CLIP
from rufous.perception.prompts import Tokenizer, encode_prompts
from rufous.perception.viclip import ViCLIP, ViCLIPConfig

Device = torch.device
VICLIP_L_14 = ViCLIPConfig()


def on_device(network: Callable[..., Tensor], device: Device) -> Callable[..., Tensor]:
    """The network for inputs on the CPU, with its output there."""
    return lambda *inputs: network(*(each.to(device) for each in inputs)).cpu()


def texts(network: CLIP | ViCLIP, tokenizer: Tokenizer, device: Device) -> EmbedText:
    """Unit embeddings of texts; longer ones lose their last words."""
    length = network.config.text.context_length

    def embed(prompts: Sequence[str]) -> Tensor:
        return encode_prompts(network, tokenizer, prompts, context_length=length, device=device).cpu()

    return embed


def _row(dimension: Dimension, *files: str) -> LoadedRow:
    hashes = [sha256_of(find_vbench_file(name)) for name in files]
    return LoadedRow(dimension, identity=" ".join(hashes), is_large=True)


def _dynamic_degree(device: Device) -> LoadedRow:
    return _row(DynamicDegree(flow=on_device(backbones.load_raft(device=device), device)), "raft")


def _motion_smoothness(device: Device) -> LoadedRow:
    network = backbones.load_amt(device=device)
    return _row(MotionSmoothness(interpolator=on_device(network, device)), "amt_s")


def _subject_consistency(device: Device) -> LoadedRow:
    network: nn.Module = backbones.load_dino(device=device)
    return _row(SubjectConsistency(embed=on_device(network, device)), "dino")


def _background_consistency(device: Device) -> LoadedRow:
    network = backbones.load_clip("clip_b_32", device=device)
    return _row(BackgroundConsistency(embed=on_device(network.encode_pixels, device)), "clip_b_32")


def _aesthetic_quality(device: Device) -> LoadedRow:
    embed = on_device(backbones.load_clip("clip_l_14", device=device).encode_pixels, device)
    head = backbones.load_aesthetic_head()
    return _row(AestheticQuality(embed=embed, head=head), "clip_l_14", "aesthetic")


def _imaging_quality(device: Device) -> LoadedRow:
    return _row(ImagingQuality(scorer=on_device(backbones.load_musiq(device=device), device)), "musiq")


def _human_action(device: Device) -> LoadedRow:
    network, labels = backbones.load_umt(device=device), backbones.load_action_labels()
    return _row(HumanAction(classifier=on_device(network, device), labels=labels), "umt", "kinetics_400")


def _appearance_style(device: Device) -> LoadedRow:
    network = backbones.load_clip("clip_b_32", device=device)
    embed_text = texts(network, clip_tokenizer(), device)
    return _row(
        AppearanceStyle(embed=on_device(network.encode_pixels, device), embed_text=embed_text), "clip_b_32"
    )


def _video_text(row: type[TemporalStyle] | type[OverallConsistency], device: Device) -> LoadedRow:
    network = backbones.load_viclip(config=VICLIP_L_14, device=device)
    # VBench normalises the pixels itself, so the tower is asked, not ``encode_video``
    embed_video = on_device(network.vision_encoder, device)
    return _row(row(embed_video=embed_video, embed_text=texts(network, clip_tokenizer(), device)), "viclip")


PUBLISHED_ROWS: dict[str, Callable[[Device], LoadedRow]] = {
    "subject_consistency": _subject_consistency,
    "background_consistency": _background_consistency,
    "motion_smoothness": _motion_smoothness,
    "dynamic_degree": _dynamic_degree,
    "aesthetic_quality": _aesthetic_quality,
    "imaging_quality": _imaging_quality,
    "human_action": _human_action,
    "appearance_style": _appearance_style,
    "temporal_style": lambda device: _video_text(TemporalStyle, device),
    "overall_consistency": lambda device: _video_text(OverallConsistency, device),
}
"""Loaders; each raises ``CheckpointError`` where a file is missing, with its address."""

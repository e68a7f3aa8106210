"""VBench's own rows on its own networks, from the files that a user has put in place."""

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from rufous.checkpoints.tokenizers import clip_tokenizer
from rufous.checkpoints.vbench import vbench_sha256
from rufous.core.devices import require_memory
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
from rufous.evaluation.dimensions.static_filter import StaticFilter
from rufous.evaluation.dimensions.subject_consistency import SubjectConsistency
from rufous.evaluation.dimensions.temporal_style import TemporalStyle
from rufous.evaluation.vbench.suite import STATIC
from rufous.perception.amt import AMT
from rufous.perception.amt import MIN_SIDE_PX as AMT_MIN_SIDE_PX
from rufous.perception.clip import CLIP
from rufous.perception.prompts import Tokenizer, encode_prompts
from rufous.perception.raft import MIN_SIDE_PX as RAFT_MIN_SIDE_PX
from rufous.perception.raft import RAFT
from rufous.perception.viclip import ViCLIP, ViCLIPConfig

Device = torch.device
VICLIP_L_14 = ViCLIPConfig()


def on_device(network: Callable[..., Tensor], device: Device) -> Callable[..., Tensor]:
    """The network for inputs on the CPU, with its output there."""
    return lambda *inputs: network(*(each.to(device) for each in inputs)).cpu()


def where_it_fits(network: RAFT | AMT, device: Device) -> Callable[[Tensor, Tensor], Tensor]:
    """The same of a network that correlates all pairs of cells; ``MemoryError`` for frames too large."""
    run = on_device(network, device)

    def correlated(first: Tensor, second: Tensor) -> Tensor:
        height, width = first.shape[-2:]
        needed = len(first) * network.correlation_bytes(height, width)
        require_memory(needed, device, what=f"frames of {width}x{height} in {type(network).__name__}")
        return run(first, second)

    return correlated


def texts(network: CLIP | ViCLIP, tokenizer: Tokenizer, device: Device) -> EmbedText:
    """Unit embeddings of texts; longer ones lose their last words."""
    length = network.config.text.context_length

    def embed(prompts: Sequence[str]) -> Tensor:
        return encode_prompts(network, tokenizer, prompts, context_length=length, device=device).cpu()

    return embed


def published_rows() -> dict[str, Callable[[Device], LoadedRow]]:
    """Loaders; each raises ``CheckpointError`` where a file is missing, with its address.

    Rows of one call share their networks, and a file is hashed once.
    """
    raft = functools.cache(lambda device: on_device(backbones.load_raft(device=device), device))
    clip_b_32 = functools.cache(lambda device: backbones.load_clip("clip_b_32", device=device))
    viclip = functools.cache(lambda device: backbones.load_viclip(config=VICLIP_L_14, device=device))
    hash_of = functools.cache(lambda file: sha256_of(find_vbench_file(file)))

    def row(dimension: Dimension, *files: str) -> LoadedRow:
        return LoadedRow(dimension, identity=" ".join(map(hash_of, files)), is_large=True)

    def dynamic_degree(device: Device) -> LoadedRow:
        return row(DynamicDegree(flow=raft(device), min_side_px=RAFT_MIN_SIDE_PX), "raft")

    def static_filter(device: Device) -> LoadedRow:
        return row(StaticFilter(flow=raft(device), min_side_px=RAFT_MIN_SIDE_PX), "raft")

    def motion_smoothness(device: Device) -> LoadedRow:
        interpolator = on_device(backbones.load_amt(device=device), device)
        return row(MotionSmoothness(interpolator=interpolator, min_side_px=AMT_MIN_SIDE_PX), "amt_s")

    def subject_consistency(device: Device) -> LoadedRow:
        network: nn.Module = backbones.load_dino(device=device)
        return row(SubjectConsistency(embed=on_device(network, device)), "dino")

    def background_consistency(device: Device) -> LoadedRow:
        embed = on_device(clip_b_32(device).encode_pixels, device)
        return row(BackgroundConsistency(embed=embed), "clip_b_32")

    def aesthetic_quality(device: Device) -> LoadedRow:
        embed = on_device(backbones.load_clip("clip_l_14", device=device).encode_pixels, device)
        head = backbones.load_aesthetic_head()
        return row(AestheticQuality(embed=embed, head=head), "clip_l_14", "aesthetic")

    def imaging_quality(device: Device) -> LoadedRow:
        return row(ImagingQuality(scorer=on_device(backbones.load_musiq(device=device), device)), "musiq")

    def human_action(device: Device) -> LoadedRow:
        network, labels = backbones.load_umt(device=device), backbones.load_action_labels()
        return row(HumanAction(classifier=on_device(network, device), labels=labels), "umt", "kinetics_400")

    def appearance_style(device: Device) -> LoadedRow:
        network = clip_b_32(device)
        embed = on_device(network.encode_pixels, device)
        return row(
            AppearanceStyle(embed=embed, embed_text=texts(network, clip_tokenizer(), device)), "clip_b_32"
        )

    def video_text(kind: type[TemporalStyle] | type[OverallConsistency], device: Device) -> LoadedRow:
        network = viclip(device)
        # VBench normalises the pixels itself, so the tower is asked, not ``encode_video``
        embed_video = on_device(network.vision_encoder, device)
        embed_text = texts(network, clip_tokenizer(), device)
        return row(kind(embed_video=embed_video, embed_text=embed_text), "viclip")

    return {
        "subject_consistency": subject_consistency,
        "background_consistency": background_consistency,
        "motion_smoothness": motion_smoothness,
        "dynamic_degree": dynamic_degree,
        "aesthetic_quality": aesthetic_quality,
        "imaging_quality": imaging_quality,
        "human_action": human_action,
        "appearance_style": appearance_style,
        "temporal_style": lambda device: video_text(TemporalStyle, device),
        "overall_consistency": lambda device: video_text(OverallConsistency, device),
        STATIC: static_filter,
    }

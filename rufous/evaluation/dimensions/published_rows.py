"""VBench's own rows on its own networks, from the files that a user has put in place."""

import functools
from collections.abc import Callable, Collection, Sequence

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


def published_rows(names: Collection[str] | None = None) -> dict[str, Callable[[Device], LoadedRow]]:
    """Loaders; each raises ``MissingWeightsError`` where a file is missing, with its address.

    Rows of one call share their networks, and a file is hashed once, before it is read.

    Args:
        names: Which rows will be loaded; parts of networks that none of them reads are not kept. None: any.
    """
    raft = functools.cache(lambda device: where_it_fits(backbones.load_raft(device=device), device))
    has_text = names is None or "appearance_style" in names
    clip_b_32 = functools.cache(
        lambda device: backbones.load_clip("clip_b_32", device=device, with_text=has_text)
    )
    viclip = functools.cache(lambda device: backbones.load_viclip(config=VICLIP_L_14, device=device))
    hash_of = functools.cache(vbench_sha256)

    def dynamic_degree(device: Device) -> Dimension:
        return DynamicDegree(flow=raft(device), min_side_px=RAFT_MIN_SIDE_PX)

    def static_filter(device: Device) -> Dimension:
        return StaticFilter(flow=raft(device), min_side_px=RAFT_MIN_SIDE_PX)

    def motion_smoothness(device: Device) -> Dimension:
        interpolator = where_it_fits(backbones.load_amt(device=device), device)
        return MotionSmoothness(interpolator=interpolator, min_side_px=AMT_MIN_SIDE_PX)

    def subject_consistency(device: Device) -> Dimension:
        network: nn.Module = backbones.load_dino(device=device)
        return SubjectConsistency(embed=on_device(network, device))

    def background_consistency(device: Device) -> Dimension:
        return BackgroundConsistency(embed=on_device(clip_b_32(device).encode_pixels, device))

    def aesthetic_quality(device: Device) -> Dimension:
        network = backbones.load_clip("clip_l_14", device=device, with_text=False)
        head = backbones.load_aesthetic_head()
        return AestheticQuality(embed=on_device(network.encode_pixels, device), head=head)

    def imaging_quality(device: Device) -> Dimension:
        return ImagingQuality(scorer=on_device(backbones.load_musiq(device=device), device))

    def human_action(device: Device) -> Dimension:
        network, labels = backbones.load_umt(device=device), backbones.load_action_labels()
        return HumanAction(classifier=on_device(network, device), labels=labels)

    def appearance_style(device: Device) -> Dimension:
        network, tokenizer = clip_b_32(device), clip_tokenizer()
        embed = on_device(network.encode_pixels, device)
        return AppearanceStyle(embed=embed, embed_text=texts(network, tokenizer, device))

    def video_text(kind: type[TemporalStyle] | type[OverallConsistency], device: Device) -> Dimension:
        network = viclip(device)
        # VBench normalises the pixels itself, so the tower is asked, not ``encode_video``
        embed_video = on_device(network.vision_encoder, device)
        embed_text = texts(network, clip_tokenizer(), device)
        return kind(embed_video=embed_video, embed_text=embed_text)

    def of(build: Callable[[Device], Dimension], *files: str) -> Callable[[Device], LoadedRow]:
        def load(device: Device) -> LoadedRow:
            identity = " ".join(map(hash_of, files))
            return LoadedRow(build(device), identity=identity, is_large=True)

        return load

    return {
        "subject_consistency": of(subject_consistency, "dino"),
        "background_consistency": of(background_consistency, "clip_b_32"),
        "motion_smoothness": of(motion_smoothness, "amt_s"),
        "dynamic_degree": of(dynamic_degree, "raft"),
        "aesthetic_quality": of(aesthetic_quality, "clip_l_14", "aesthetic"),
        "imaging_quality": of(imaging_quality, "musiq"),
        "human_action": of(human_action, "umt", "kinetics_400"),
        "appearance_style": of(appearance_style, "clip_b_32"),
        "temporal_style": of(lambda device: video_text(TemporalStyle, device), "viclip"),
        "overall_consistency": of(lambda device: video_text(OverallConsistency, device), "viclip"),
        STATIC: of(static_filter, "raft"),
    }

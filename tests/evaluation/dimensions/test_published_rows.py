"""VBench's own rows on tiny networks with random weights, against computations by transformers and by
hand."""

import hashlib
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from transformers import CLIPModel

from rufous.checkpoints.vbench import VBENCH_FILES
from rufous.core import devices
from rufous.core.errors import CheckpointError
from rufous.evaluation import backbones
from rufous.evaluation.dimensions.decoded_clip import DecodedClip
from rufous.evaluation.dimensions.published_rows import on_device, published_rows, where_it_fits
from rufous.networks.text_encoders import TextEncoderConfig, WordTokenizer
from rufous.perception.aesthetic import AestheticHead
from rufous.perception.clip import CLIP, CLIPConfig
from rufous.perception.dino import DINO, DINOConfig
from rufous.perception.preprocessing import CLIP_MEAN, CLIP_STD
from rufous.perception.raft import RAFT, RAFT_THINGS
from rufous.perception.viclip import ViCLIP, ViCLIPConfig
from rufous.world import WorldClips, vocabulary

CPU = torch.device("cpu")
WORDS = WordTokenizer(vocabulary())
TEXT = TextEncoderConfig(
    vocab_size=len(WORDS), context_length=24, width=16, heads=2, layers=1, embed_dim=12, layer="last"
)
CLIP_CONFIG = CLIPConfig(text=TEXT, patch_size=32, width=16, heads=2, layers=2)
VICLIP_CONFIG = ViCLIPConfig(text=TEXT, patch_size=56, width=16, heads=2, layers=1)
WORLD = WorldClips(seed=4, num_frames=5, height=48, width=80)


@pytest.fixture
def networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.nn.Module]:
    """Tiny networks in place of the published files."""
    torch.manual_seed(0)
    made = {
        "clip": CLIP(CLIP_CONFIG).eval(),
        "dino": DINO(DINOConfig(embed_dim=16, depth=2, num_heads=2)).eval(),
        "head": AestheticHead(12),
        "viclip": ViCLIP(VICLIP_CONFIG).eval(),
    }
    for network in made.values():
        for parameter in network.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
            parameter.requires_grad_(False)
    monkeypatch.setattr(f"{published_rows.__module__}.vbench_sha256", lambda name: f"{len(name):064x}")
    monkeypatch.setattr(f"{published_rows.__module__}.clip_tokenizer", lambda: WORDS)
    monkeypatch.setattr(backbones, "load_clip", lambda name, device, with_text: made["clip"])
    monkeypatch.setattr(backbones, "load_dino", lambda device: made["dino"])
    monkeypatch.setattr(backbones, "load_aesthetic_head", lambda: made["head"])
    monkeypatch.setattr(backbones, "load_viclip", lambda config, device: made["viclip"])
    return made


def clip_of(prompt: str = "", **auxiliary: object) -> DecodedClip:
    return DecodedClip(frames=WORLD[0].frames, fps=8.0, prompt=prompt, auxiliary=auxiliary)


def by_hand(pixels: Tensor) -> Tensor:
    """48 x 80 bytes to 224 x 224 for CLIP: 224 x 373 without antialiasing, cropped at round(74.5) = 74."""
    large = F.interpolate(pixels.float(), (224, 373), mode="bicubic", align_corners=False)
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
    return (large[..., 74:298] / 255 - mean) / std


def transformers_features(network: CLIP, pixels: Tensor) -> list[Tensor]:
    """One frame at a time, through transformers' own path."""
    model: CLIPModel = network.model
    return [model.get_image_features(pixel_values=frame[None]).pooler_output[0] for frame in pixels]


def loop(features: list[Tensor]) -> float:
    """Consistency, frame by frame."""

    def cosine(one: Tensor, other: Tensor) -> float:
        product = sum(float(x) * float(y) for x, y in zip(one, other, strict=True))
        return max(0.0, product / math.sqrt(float(one.square().sum()) * float(other.square().sum())))

    pairs = [(features[i - 1], features[0], features[i]) for i in range(1, len(features))]
    return sum((cosine(before, now) + cosine(first, now)) / 2 for before, first, now in pairs) / len(pairs)


def measured(row: str, clip: DecodedClip) -> float:
    loaded = published_rows()[row](CPU)
    assert loaded.dimension.name == row
    assert loaded.dimension.label == "parity-random"
    assert loaded.is_large
    value = loaded.dimension.measure(clip).value
    assert value is not None
    return value


def test_background_is_what_transformers_and_a_loop_give(networks):
    expected = loop(transformers_features(networks["clip"], by_hand(WORLD[0].frames)))
    assert measured("background_consistency", clip_of()) == pytest.approx(expected, abs=1e-4)


def test_beauty_is_what_transformers_and_a_sum_give(networks):
    head = networks["head"]
    values = [
        float((features / features.norm() * head.weight[0]).sum() + head.bias[0]) / 10
        for features in transformers_features(networks["clip"], by_hand(WORLD[0].frames))
    ]
    assert measured("aesthetic_quality", clip_of()) == pytest.approx(sum(values) / len(values), abs=1e-4)


def test_the_subject_is_seen_uncropped(networks):
    large = F.interpolate(WORLD[0].frames.float(), (224, 373), mode="bilinear", align_corners=False)
    mean = torch.tensor([0.485, 0.456, 0.406]).reshape(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).reshape(3, 1, 1)
    features = [networks["dino"](frame[None])[0] for frame in (large / 255 - mean) / std]
    assert measured("subject_consistency", clip_of()) == pytest.approx(loop(features), abs=1e-4)


def test_style_is_what_transformers_and_pillow_give(networks):
    """On frames that are shrunk, since there Pillow alone antialiases: 336 x 512 to 224 x 341, from 58 on."""
    frames = WorldClips(seed=4, num_frames=3, height=336, width=512)[0].frames
    style, network = "a red circle", networks["clip"]
    pictures = [Image.fromarray(frame.permute(1, 2, 0).numpy()) for frame in frames]
    small = [np.array(picture.resize((341, 224), Image.Resampling.BICUBIC)) for picture in pictures]
    plain = F.interpolate(frames.float(), (224, 341), mode="bicubic", align_corners=False)
    [text] = network.encode_text(*WORDS.encode([style], 24))

    def expected(pixels: Tensor) -> float:
        mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
        images = transformers_features(network, (pixels[..., 58:282] / 255 - mean) / std)
        return sum(float(image @ text / image.norm() / text.norm()) for image in images) / len(images)

    clip = DecodedClip(frames=frames, fps=8.0, auxiliary={"appearance_style": {"appearance_style": style}})
    found = measured("appearance_style", clip)
    assert found == pytest.approx(expected(torch.from_numpy(np.stack(small)).movedim(-1, 1)), abs=1e-5)
    assert abs(found - expected(plain)) > 5e-5


def test_style_asks_the_text_tower_for_the_style_alone(networks):
    style = {"appearance_style": "a red circle"}
    one = measured("appearance_style", clip_of("moving left", appearance_style=style))
    assert one == measured("appearance_style", clip_of("moving right", appearance_style=style))
    other = {"appearance_style": "a blue star moving left"}
    assert one != measured("appearance_style", clip_of("moving left", appearance_style=other))


@pytest.mark.parametrize("row", ["temporal_style", "overall_consistency"])
def test_the_prompt_is_compared_with_eight_frames(row, networks):
    network, frames = networks["viclip"], WORLD[0].frames[[0, 1, 2, 3, 4, 4, 4, 4]]
    large = F.interpolate(frames.float(), (224, 373), mode="bicubic", align_corners=False)
    cropped = large.clamp(0, 255).round()[..., 74:298] / 255
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
    video = network.vision_encoder(((cropped - mean) / std).transpose(0, 1)[None])[0]
    text = network.encode_text(*WORDS.encode(["a red circle"], 24))[0]
    expected = float((video / video.norm() * text).sum())
    assert measured(row, clip_of("a red circle")) == pytest.approx(expected, abs=1e-4)


def test_rows_share_their_networks_and_files_are_hashed_once(networks, monkeypatch):
    loads, hashed, load = [], [], backbones.load_viclip
    monkeypatch.setattr(backbones, "load_viclip", lambda **told: loads.append(told) or load(**told))
    monkeypatch.setattr(
        f"{published_rows.__module__}.vbench_sha256", lambda name: hashed.append(name) or "0" * 64
    )
    rows = published_rows()
    for name in ("temporal_style", "overall_consistency", "background_consistency", "appearance_style"):
        rows[name](CPU)
    assert len(loads) == 1
    assert hashed == ["viclip", "clip_b_32"]


def test_no_text_tower_is_kept_that_no_row_reads(networks, monkeypatch):
    asked = []
    monkeypatch.setattr(
        backbones,
        "load_clip",
        lambda name, *, with_text, **_: asked.append((name, with_text)) or networks["clip"],
    )
    for names in (
        ["background_consistency", "aesthetic_quality"],
        ["background_consistency", "appearance_style"],
    ):
        rows = published_rows(names)
        for name in names:
            rows[name](CPU)
    assert asked == [("clip_b_32", False), ("clip_l_14", False), ("clip_b_32", True)]


def test_frames_too_large_for_the_memory_are_refused_before_the_network_runs(monkeypatch):
    with torch.device("meta"):
        network = RAFT(RAFT_THINGS)
    monkeypatch.setattr(network, "forward", lambda *_: pytest.fail("it ran"))
    monkeypatch.setattr(devices, "free_memory_bytes", lambda device: 80_000_000_000)
    frames = torch.zeros(1, 3, 1, 1).expand(1, 3, 2160, 3840)
    with pytest.raises(
        MemoryError, match=r"frames of 3840x2160 in RAFT: needs 89\.2 GB, 80\.0 GB are free on cpu"
    ):
        where_it_fits(network, CPU)(frames, frames)


def test_what_a_row_was_loaded_from_is_told(networks):
    hashes = published_rows()["aesthetic_quality"](CPU).identity.split()
    assert len(hashes) == 2
    assert len(hashes[0]) == 64


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty place for weights, and an empty home."""
    monkeypatch.setenv("VBENCH_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.mark.parametrize("name", published_rows())
def test_without_its_file_a_row_says_where_to_get_it(name, cache):
    with pytest.raises(CheckpointError, match=r"is missing: looked for .*https?://"):
        published_rows()[name](CPU)


def test_a_row_is_known_by_its_file_and_measures_with_it(cache):
    torch.manual_seed(0)
    file = cache / VBENCH_FILES["raft"].place
    file.parent.mkdir(parents=True)
    torch.save({f"module.{name}": value for name, value in RAFT(RAFT_THINGS).state_dict().items()}, file)
    row = published_rows()["dynamic_degree"](CPU)
    assert row.identity == hashlib.sha256(file.read_bytes()).hexdigest()
    assert row.is_large
    small = DecodedClip(frames=torch.zeros(2, 3, 120, 400, dtype=torch.uint8), fps=8.0)
    assert row.dimension.measure(small).details == {"note": "its network reads frames from 121 pixels a side"}
    frames = torch.randint(0, 256, (2, 3, 121, 128), dtype=torch.uint8)
    score = row.dimension.measure(DecodedClip(frames=frames, fps=8.0))
    assert len(score.details["motions_px"]) == 1


def test_a_network_elsewhere_is_asked_there_and_answers_on_the_cpu():
    asked = []

    def network(first, second):
        asked.append((first.device, second.device))
        return first + second

    out = on_device(network, torch.device("meta"))
    with pytest.raises(NotImplementedError, match="meta"):  # what lies on the meta device cannot come back
        out(torch.ones(1), torch.ones(1))
    assert asked == [(torch.device("meta"), torch.device("meta"))]
    assert on_device(network, CPU)(torch.ones(1), torch.ones(1)).item() == 2.0

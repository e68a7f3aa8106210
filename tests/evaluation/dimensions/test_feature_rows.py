"""Rows on the features of injected networks: consistency, beauty, quality, text."""

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import ViTImageProcessor

from rufous.evaluation.dimensions.aesthetic_quality import AestheticQuality
from rufous.evaluation.dimensions.appearance_style import AppearanceStyle
from rufous.evaluation.dimensions.background_consistency import BackgroundConsistency
from rufous.evaluation.dimensions.decoded_clip import DecodedClip
from rufous.evaluation.dimensions.imaging_quality import ImagingQuality
from rufous.evaluation.dimensions.overall_consistency import OverallConsistency
from rufous.evaluation.dimensions.resizing import clip_pixels
from rufous.evaluation.dimensions.subject_consistency import SubjectConsistency
from rufous.evaluation.dimensions.temporal_style import TemporalStyle
from rufous.perception.dino import DINO, DINOConfig
from rufous.perception.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from rufous.world import WorldClips
from tests.perception.dino_in_transformers import as_transformers
from tests.perception.tiny_towers import randomize


def mean_color(pixels: Tensor) -> Tensor:
    return pixels.mean(dim=(-2, -1))


def colored(*colors: tuple[int, int, int], prompt: str = "", **auxiliary: object) -> DecodedClip:
    frames = torch.tensor(colors, dtype=torch.uint8)[:, :, None, None].repeat(1, 1, 32, 48)
    return DecodedClip(frames=frames, fps=8.0, prompt=prompt, auxiliary=auxiliary)


RED, BLUE = (255, 0, 0), (0, 0, 255)


@pytest.mark.parametrize("row", [SubjectConsistency, BackgroundConsistency])
def test_a_clip_that_changes_is_less_consistent(row):
    measure = row(embed=mean_color).measure
    assert measure(colored(RED, RED, RED)).value == pytest.approx(1.0)
    assert measure(colored(RED, RED, BLUE)).value < measure(colored(RED, (235, 0, 20), RED)).value < 1.0
    assert measure(colored(RED, RED, BLUE)).weight == 2
    with pytest.raises(ValueError, match="needs 2 frames"):
        measure(colored(RED))


@torch.no_grad()
def test_the_subject_is_scored_as_with_transformers_own_model_and_processor():
    """At the size that the network reads: VBench resizes without antialiasing, the processor with it."""
    config = DINOConfig(img_size=224, patch_size=16, embed_dim=12, depth=2, num_heads=2)
    network = randomize(DINO(config))
    network.norm.bias.zero_()  # what all frames have in common would hide the rest
    network.cls_token.zero_()
    clips = WorldClips(seed=2, level="full", num_frames=2, height=224, width=224)
    frames = torch.cat([clips[index].frames[:1] for index in range(5)])
    processor = ViTImageProcessor(do_resize=False, image_mean=IMAGENET_MEAN, image_std=IMAGENET_STD)
    read = processor(images=list(frames.numpy()), return_tensors="pt")["pixel_values"]
    tokens = as_transformers(network, config)(read).last_hidden_state[:, 0].double().numpy()
    units = tokens / np.linalg.norm(tokens, axis=1, keepdims=True)
    each = [(max(0, units[i] @ units[i - 1]) + max(0, units[i] @ units[0])) / 2 for i in range(1, 5)]
    found = SubjectConsistency(embed=network).measure(DecodedClip(frames=frames, fps=8.0))
    assert found.value == pytest.approx(np.mean(each), abs=1e-4)
    assert 0.1 < found.value < 0.9


def test_background_tells_its_sums_as_published():
    score = BackgroundConsistency(embed=mean_color).measure(colored(RED, RED, RED))
    assert score.details == {"video_sim": pytest.approx(2.0), "cnt_per_video": 2}


def test_beauty_is_the_head_on_unit_features_by_ten():
    head = torch.nn.Linear(3, 1)
    row = AestheticQuality(embed=mean_color, head=head)
    clip = colored(RED, BLUE)
    units = torch.nn.functional.normalize(mean_color(clip_pixels(clip.frames.float())), dim=-1)
    assert row.measure(clip).value == pytest.approx((head(units) / 10).mean().item())


def test_quality_is_a_hundredth_and_the_file_keeps_the_whole():
    row = ImagingQuality(scorer=lambda frame: 100 * frame.mean().reshape(1))
    score = row.measure(colored((51, 51, 51), (153, 153, 153)))
    assert (score.value, score.details["video_results"]) == (pytest.approx(0.4), pytest.approx(40.0))


TEXTS = {"a red thing": [1.0, 0.0, 0.0], "a blue thing": [0.0, 0.0, 1.0]}


def text_of(texts):
    return torch.tensor([TEXTS[text] for text in texts])


def redness(pixels: Tensor) -> Tensor:
    """How red and how blue frames or clips are."""
    means = pixels.flatten(2).mean(dim=-1)
    return torch.relu(means) + 1e-3


@pytest.mark.parametrize("row", [TemporalStyle, OverallConsistency])
def test_swapped_captions_lower_the_rows_of_text_and_video(row):
    measure = row(embed_video=redness, embed_text=text_of).measure
    right = [measure(colored(RED, prompt="a red thing")), measure(colored(BLUE, prompt="a blue thing"))]
    swapped = [measure(colored(RED, prompt="a blue thing")), measure(colored(BLUE, prompt="a red thing"))]
    assert min(score.value for score in right) > 0.99
    assert max(score.value for score in swapped) < 0.01
    with pytest.raises(ValueError, match="no prompt"):
        measure(colored(RED))


def test_swapped_styles_lower_appearance():
    row = AppearanceStyle(embed=redness, embed_text=text_of)
    right = colored(RED, RED, appearance_style={"appearance_style": "a red thing"})
    swapped = colored(RED, RED, appearance_style={"appearance_style": "a blue thing"})
    score = row.measure(right)
    assert score.value > 0.99 > 0.01 > row.measure(swapped).value
    assert score.weight == 2
    assert score.details["frame_results"] == pytest.approx([score.value] * 2)
    assert score.details["cur_sim"] == pytest.approx(score.value)


def test_video_rows_see_eight_frames_resized_as_bytes():
    seen = []
    row = OverallConsistency(
        embed_video=lambda pixels: seen.append(pixels) or redness(pixels), embed_text=text_of
    )
    row.measure(DecodedClip(frames=WorldClips(seed=1)[0].frames, fps=8.0, prompt="a red thing"))
    assert seen[0].shape == (1, 3, 8, 224, 224)

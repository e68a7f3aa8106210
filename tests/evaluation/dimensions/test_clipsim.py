from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from transformers import CLIPImageProcessor, CLIPModel

from rufous.core.errors import CheckpointError, ConfigError
from rufous.evaluation.dimensions.clipsim import clipsim_of, load_clipsim
from rufous.evaluation.dimensions.decoded_clip import DecodedClip
from rufous.evaluation.dimensions.resizing import clip_picture_pixels
from rufous.evaluation.dimensions.rows import row_loaders
from rufous.networks.text_encoders import WordTokenizer
from rufous.perception.clip import CLIP
from rufous.world import WorldClips
from tests.perception.tiny_towers import TINY_CLIP, TOKENIZER, WORDS, randomize

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network():
    return randomize(CLIP(TINY_CLIP)).eval()


def clip_of(prompt: str, count: int = 3) -> DecodedClip:
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (count, 3, 40, 48), generator=generator, dtype=torch.uint8)
    return DecodedClip(frames=frames, fps=8.0, prompt=prompt)


def test_the_score_is_the_mean_cosine_over_all_frames(network):
    clip = clip_of("a red circle moving left", 18)
    ids, mask = TOKENIZER.encode([clip.prompt], TINY_CLIP.text.context_length)
    with torch.no_grad():
        text = network.encode_text(ids, mask)[0]
        pixels = [clip_picture_pixels(frame[None], 32) for frame in clip.frames]
        each = [float(network.encode_pixels(one)[0] @ text) for one in pixels]
    found = clipsim_of(network, TOKENIZER, CPU).measure(clip)
    assert found.value == pytest.approx(sum(each) / 18, abs=1e-6)
    assert found.details["clipsim"] == pytest.approx(100 * found.value)
    assert found.weight == 1


@torch.no_grad()
@pytest.mark.parametrize(("height", "width"), [(32, 32), (40, 48), (90, 60)])
def test_the_score_is_that_of_transformers_own_model_and_processor(network, height, width):
    """In transformers the end of a prompt is its highest id, in this vocabulary it is 2: two rows of the
    embedding change places. Sides are such that the crop's margins are whole pixels: halves are rounded
    otherwise there than in open_clip."""
    clip = replace(WorldClips(seed=2, height=height, width=width)[0], caption="a red circle moving left")
    theirs, last = CLIPModel(network.model.config), TINY_CLIP.text.vocab_size - 1
    theirs.load_state_dict(network.model.state_dict())
    exchanged = torch.arange(last + 1)
    exchanged[[2, last]] = torch.tensor([last, 2])
    embedding = theirs.text_model.embeddings.token_embedding
    embedding.weight.copy_(embedding.weight[exchanged])
    words = {word: 4 + place for place, word in enumerate(WORDS)}
    ids = exchanged[torch.tensor([[1, *(words[word] for word in clip.caption.split()), 2]])]
    processor = CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}, do_convert_rgb=False
    )
    pixels = processor(images=list(clip.frames.numpy()), return_tensors="pt")["pixel_values"]
    images = theirs.eval().get_image_features(pixel_values=pixels).pooler_output
    [text] = theirs.get_text_features(input_ids=ids).pooler_output
    expected = F.cosine_similarity(images, text[None]).mean().item()
    decoded = DecodedClip(frames=clip.frames, fps=clip.fps, prompt=clip.caption)
    assert clipsim_of(network, TOKENIZER, CPU).measure(decoded).value == pytest.approx(expected, abs=1e-4)


def test_another_prompt_has_another_score_and_none_is_refused(network):
    row = clipsim_of(network, TOKENIZER, CPU)
    assert row.measure(clip_of("a red circle")).value != row.measure(clip_of("a blue square")).value
    with pytest.raises(ValueError, match="has no prompt"):
        row.measure(clip_of(""))


def test_damaged_weights_and_a_foreign_tokenizer_are_refused(network):
    with pytest.raises(ConfigError, match="clipsim: the tokenizer has"):
        clipsim_of(network, WordTokenizer(["one"]), CPU)
    damaged = randomize(CLIP(TINY_CLIP)).eval()
    with torch.no_grad():
        damaged.model.visual_projection.weight.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="a feature is NaN"):
        clipsim_of(damaged, TOKENIZER, CPU).measure(clip_of("a red circle"))


def test_missing_weights_are_named_with_their_address(tmp_path):
    assert row_loaders()["clipsim"] is load_clipsim
    with pytest.raises(CheckpointError, match=r"model\.safetensors is missing: .*CLIP-ViT-H-14"):
        load_clipsim(CPU, tmp_path / "absent.safetensors")

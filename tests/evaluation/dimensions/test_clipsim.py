import pytest
import torch

from rufous.core.errors import CheckpointError, ConfigError
from rufous.evaluation.dimensions.clipsim import clipsim_of, load_clipsim
from rufous.evaluation.dimensions.decoded_clip import DecodedClip
from rufous.evaluation.dimensions.rows import row_loaders
from rufous.networks.text_encoders import WordTokenizer
from rufous.perception.clip import CLIP
from rufous.video.frames import from_uint8
from tests.perception.tiny_towers import TINY_CLIP, TOKENIZER, randomize

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
        each = [float(network.encode_image(from_uint8(frame[None]))[0] @ text) for frame in clip.frames]
    found = clipsim_of(network, TOKENIZER, CPU).measure(clip)
    assert found.value == pytest.approx(sum(each) / 18, abs=1e-6)
    assert found.details["clipsim"] == pytest.approx(100 * found.value)
    assert found.weight == 1


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

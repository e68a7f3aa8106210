import pytest
import torch

from rufous.core.errors import CheckpointError, ConfigError
from rufous.evaluation.clipsim import Clipsim, load_clipsim
from rufous.evaluation.sets import SetSampling
from rufous.networks.text_encoders import WordTokenizer
from rufous.perception.clip import CLIP
from rufous.video.frames import from_uint8
from tests.evaluation.clip_folders import write_clips
from tests.perception.tiny_towers import TINY_CLIP, TOKENIZER, randomize


@pytest.fixture(scope="module")
def network():
    return randomize(CLIP(TINY_CLIP))


def frames(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, 40, 48), generator=generator, dtype=torch.uint8)


def test_the_score_is_the_mean_logit_without_the_scale(network):
    clip, prompt = frames(18), "a red circle moving left"
    ids, mask = TOKENIZER.encode([prompt], TINY_CLIP.text.context_length)
    with torch.no_grad():
        text = network.encode_text(ids, mask)[0]
        each = [float(100 * network.encode_image(from_uint8(clip[i : i + 1]))[0] @ text) for i in range(18)]
    found = Clipsim(network, TOKENIZER).score(clip, prompt)
    assert found == pytest.approx(sum(each) / 18, abs=1e-4)
    assert abs(found) <= 100


def test_another_prompt_has_another_score(network):
    clipsim = Clipsim(network, TOKENIZER)
    assert clipsim.score(frames(3), "a red circle") != clipsim.score(frames(3), "a blue square")


def test_a_folder_is_scored_by_file_and_what_has_no_prompt_is_named(network, tmp_path):
    write_clips(tmp_path, 3)
    (tmp_path / "bad.mp4").write_bytes(b"none")
    prompts = {"0.webp": "a red circle", "more/1.webp": "a blue square", "bad.mp4": "a circle"}
    found = Clipsim(network, TOKENIZER).score_folder(tmp_path, prompts, SetSampling(num_frames=5))
    assert list(found.by_file) == ["0.webp", "more/1.webp"]
    assert found.clipsim == pytest.approx(sum(found.by_file.values()) / 2)
    assert [clip.file for clip in found.failed] == ["2.webp", "bad.mp4"]
    assert found.failed[0].reason == "no prompt is given for it"
    with pytest.raises(ValueError, match=r"no clip can be scored\. 0\.webp: no prompt"):
        Clipsim(network, TOKENIZER).score_folder(tmp_path, {})


def test_damaged_weights_and_a_foreign_tokenizer_are_refused(network, tmp_path):
    with pytest.raises(ConfigError, match="clipsim: the tokenizer has"):
        Clipsim(network, WordTokenizer(["one"]))
    damaged = randomize(CLIP(TINY_CLIP))
    with torch.no_grad():
        damaged.model.visual_projection.weight.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="CLIP gives NaN"):
        Clipsim(damaged, TOKENIZER).score(frames(2), "a red circle")


def test_missing_weights_are_named_with_their_address(tmp_path):
    with pytest.raises(CheckpointError, match=r"model\.safetensors is missing: .*CLIP-ViT-H-14"):
        load_clipsim(tmp_path / "absent.safetensors")

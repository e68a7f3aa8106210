import torch

from rufous.recipes.text_tower import Text
from rufous.recipes.world_captions import encode_captions

CPU = torch.device("cpu")
CAPTIONS = [["a red circle", "a small red circle"], ["a blue star growing", "a big blue star growing"]]


def test_the_text_tower_is_frozen(road):
    text = Text(road.teacher.text, CPU)
    cond = text(["a red circle", ""], 8.0)
    assert not any(parameter.requires_grad for parameter in text.encoder.parameters())
    assert cond.prompt_mask.sum(dim=1).tolist() == [5, 2]
    assert cond.fps.tolist() == [8.0, 8.0]


def test_captions_are_read_once_and_as_the_pipeline_reads_them(road, tmp_path):
    text = Text(road.teacher.text, CPU)
    made = encode_captions(CAPTIONS, text, tmp_path)
    assert made.per_clip == 2
    assert made.mask.shape == (4, 7)  # five words with start and end
    whole = text(["a big blue star growing"], 8.0)
    embeds, mask = made[3]
    torch.testing.assert_close(embeds, whole.prompt_embeds[0, :7], rtol=1e-3, atol=2e-3)
    assert mask.tolist() == [True] * 7
    written = (tmp_path / "captions.npy").stat().st_mtime_ns
    encode_captions(CAPTIONS, text, tmp_path)
    assert (tmp_path / "captions.npy").stat().st_mtime_ns == written
    encode_captions(CAPTIONS[:1], text, tmp_path)
    assert (tmp_path / "captions.npy").stat().st_mtime_ns != written

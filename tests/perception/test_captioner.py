"""The captioner, on tiny random weights."""

import pytest

from rufous.perception.captioner import load_captioner
from rufous.world import WorldClips
from tests.perception.tiny_hub_models import write_captioner

FRAMES = WorldClips(seed=4, num_frames=5, height=48, width=80)[0].frames


@pytest.fixture(scope="module")
def captioner_folder(tmp_path_factory):
    return write_captioner(tmp_path_factory.mktemp("captioner"))


def test_captions_do_not_depend_on_what_else_is_captioned(captioner_folder):
    captioner = load_captioner(str(captioner_folder), batch_size=2, max_new_tokens=6)
    pictures = [FRAMES[0], FRAMES[1, :, :20, :30], FRAMES[2, :, :1, :1]]
    captions = captioner(pictures)
    assert captions == [captioner([picture])[0] for picture in pictures]
    assert all(text == text.lower() and text for text in captions)

import pytest

from rufous.checkpoints.video_text import WORLD_VIDEO_TEXT, frame_stride_of, load_video_text
from rufous.core.errors import CheckpointError


def test_the_shipped_model_reads_every_second_frame():
    assert frame_stride_of(WORLD_VIDEO_TEXT) == 2
    model, stride = load_video_text()
    assert (model.config.image_size, stride) == (64, 2)


def test_a_release_that_is_not_there_is_refused():
    with pytest.raises(CheckpointError, match="no model 'nowhere'"):
        load_video_text("nowhere")

from dataclasses import replace

import numpy as np
import torch

from rufous.recipes.world_clips import render_clips
from rufous.world.captions import describe, parse_caption


def test_rendered_clips_are_those_of_the_world(road):
    rendered = render_clips(road.clips, road.root / "clips")
    assert len(rendered) == 8
    clip = road.clips.clips[5]
    assert np.array_equal(rendered.frames[5], clip.frames.numpy())
    assert rendered.captions[5][0] == clip.caption
    shape = describe(clip.scene).things[0].shape
    assert all(parse_caption(text).things[0].shape == shape for text in rendered.captions[5])


def test_rendering_again_does_nothing_unless_the_config_changed(road, tmp_path):
    few = replace(road.clips, num_clips=2)
    render_clips(few, tmp_path)
    before = (tmp_path / "frames.npy").stat().st_mtime_ns
    render_clips(few, tmp_path)
    assert (tmp_path / "frames.npy").stat().st_mtime_ns == before
    assert len(render_clips(replace(few, num_clips=3), tmp_path)) == 3


def test_every_pair_of_frame_and_caption_is_an_item(road):
    from rufous.recipes.world_video_text import Captioned

    items = Captioned(render_clips(road.clips, road.root / "clips"), num_distractors=2)
    assert len(items) == 16
    assert [items[i][0] for i in range(4)] == [0, 0, 1, 1]
    assert torch.tensor([items[15][0]]) == 7

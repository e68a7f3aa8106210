import torch

from rufous.networks.video_text import VideoTextConfig, VideoTextModel
from rufous.perception.video_text import embed
from rufous.video.frames import from_uint8
from tests.perception.tiny_towers import TEXT


def test_features_are_of_the_frames_that_the_model_reads():
    config = VideoTextConfig(
        text=TEXT,
        image_size=16,
        channels=(4, 4, 4, 4),
        norm_groups=2,
        frame_width=8,
        temporal_layers=1,
        temporal_heads=2,
    )
    model = VideoTextModel(config).eval()
    generator = torch.Generator().manual_seed(0)
    clips = torch.randint(0, 256, (17, 4, 3, 16, 16), generator=generator, dtype=torch.uint8)
    video = from_uint8(clips.transpose(1, 2)[:, :, [0, 3]])
    with torch.no_grad():
        torch.testing.assert_close(embed(model, list(clips), 3), model.encode_video(video))

"""Very small video transformers."""

from rufous.perception.video_transformers import VideoMAEConfig, VJEPA2Config

TINY_VIDEOMAE = VideoMAEConfig(
    image_size=32, patch_size=16, num_frames=4, width=16, layers=1, heads=2, mlp_width=24
)
TINY_VJEPA = VJEPA2Config(
    image_size=32,
    num_frames=4,
    width=24,
    layers=1,
    heads=1,
    num_classes=3,
    predictor_width=24,
    predictor_layers=1,
    predictor_heads=1,
)

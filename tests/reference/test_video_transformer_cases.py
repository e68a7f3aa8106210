"""VideoMAE v2, as the content-debiased FVD reads it."""

import torch

from rufous.perception.video_transformers import VideoMAE, VideoMAEConfig, from_videomae_v2_names


@torch.inference_mode()
def test_videomae_gives_the_published_features(videomae_case, assert_close):
    network = VideoMAE(VideoMAEConfig(**videomae_case.info["config"])).eval()
    network.load_state_dict(from_videomae_v2_names(videomae_case.weights()))
    assert_close(network(videomae_case.inputs()["pixels"].clamp(0, 1)), videomae_case.stored["output"])

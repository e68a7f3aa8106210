import pytest
import torch
from torch import nn

from rufous.distillation.alignment import FeatureAlignment


def test_the_head_learns_to_tell_features_from_the_block():
    torch.manual_seed(0)
    block = nn.Conv2d(2, 3, 1)
    alignment = FeatureAlignment(block, in_features=3 * 4, num_features=5, width=16)
    frames = torch.randn(6, 2, 2, 2)
    features = frames.flatten(1)[:, :5].reshape(2, 3, 5)
    optimizer = torch.optim.Adam([*block.parameters(), *alignment.head.parameters()], lr=3e-2)
    losses = []
    for _ in range(60):
        block(frames)
        loss = alignment.loss(features)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert block.weight.grad is not None
    assert losses[-1] < 0.1 * losses[0]


def test_features_of_other_frames_and_a_block_that_did_not_run_are_refused():
    block = nn.Conv2d(2, 3, 1)
    alignment = FeatureAlignment(block, in_features=3, num_features=5)
    with pytest.raises(ValueError, match="ran on None frames"):
        alignment.loss(torch.zeros(1, 2, 5))
    block(torch.zeros(3, 2, 1, 1))
    with pytest.raises(ValueError, match="ran on 3 frames"):
        alignment.loss(torch.zeros(1, 2, 5))


def test_nothing_is_kept_in_eval_mode():
    block = nn.Conv2d(2, 3, 1)
    alignment = FeatureAlignment(block, in_features=3, num_features=5).eval()
    block(torch.zeros(2, 2, 1, 1))
    with pytest.raises(ValueError, match="ran on None"):
        alignment.loss(torch.zeros(1, 2, 5))

"""The world's features see what is done to clips: frames in another order, and ten graded corruptions.

The embedded model reads real clips of the world here, rendered afresh: slow on a busy machine.
"""

import pytest
import torch

from rufous.evaluation.frechet import frechet_distance
from rufous.evaluation.set_features import world_features
from rufous.video.frames import resize
from rufous.world import WorldClips

pytestmark = pytest.mark.slow
NUM_CLIPS, NUM_GRADES, NUM_GRADED = 100, 10, 32


@pytest.fixture(scope="module")
def features():
    return world_features()


@pytest.fixture(scope="module")
def clips():
    """Two sets of clips of things that move left: with all motions mixed, it takes more clips to see."""
    world, index, found = WorldClips(seed=4_100_000), 0, []
    while len(found) < 2 * NUM_CLIPS:
        if world.scene(index)[0].things[0].motion == "moving left":
            found.append(world[index].frames)
        index += 1
    return torch.stack(found[:NUM_CLIPS]), torch.stack(found[NUM_CLIPS:])


def shuffled(clips):
    generator = torch.Generator().manual_seed(0)
    orders = [torch.randperm(clips.shape[1], generator=generator) for _ in clips]
    return torch.stack([clip[order] for clip, order in zip(clips, orders, strict=True)])


def rank_correlation(values):
    """Spearman's, with the grades themselves."""
    ranks = torch.tensor(values).argsort().argsort().double()
    return float(torch.corrcoef(torch.stack([ranks, torch.arange(len(values)).double()]))[0, 1])


def test_shuffled_frames_are_further_away_than_intact_ones(features, clips):
    real, intact, spoilt = (features.read(list(each)) for each in (*clips, shuffled(clips[1])))
    distances = frechet_distance(real, intact), frechet_distance(real, spoilt)
    print(f"intact {distances[0]:.4f}, shuffled {distances[1]:.4f}")
    assert distances[1] > distances[0]


def noisy(clips, grade):
    noise = torch.randn(clips.shape, generator=torch.Generator().manual_seed(1))
    return (clips + 12.0 * grade * noise).round().clamp(0, 255).to(torch.uint8)


def coarse(clips, grade):
    side = 64 - 6 * grade
    small = resize(clips.flatten(0, 1), height=side, width=side, mode="bilinear")
    return resize(small, height=64, width=64, mode="bilinear").reshape(clips.shape)


@pytest.mark.parametrize("corrupt", [noisy, coarse])
def test_graded_corruptions_keep_their_order(features, clips, corrupt):
    chosen = clips[0][:NUM_GRADED]  # against themselves: chance between two draws outweighs the first grades
    real = features.read(list(chosen))
    distances = [frechet_distance(real, features.read(list(corrupt(chosen, g)))) for g in range(NUM_GRADES)]
    print([round(distance, 4) for distance in distances])
    assert rank_correlation(distances) >= 0.9

import itertools
from collections import Counter

import pytest
import torch

from rufous.core.randomness import generator_from
from rufous.rewards import Mixture, Reward, Weighted
from rufous.rewards.reward import check_clips, choose_frames
from tests.rewards.clips import Brightness, counting, noise


def test_the_total_is_the_weighted_sum_and_parts_stay_apart():
    class Darkness(Brightness):
        def score(self, video, prompts):
            return -2 * super().score(video, prompts)

    mixture = Mixture(
        [Weighted(reward=Brightness(), weight=3.0), Weighted(reward=Darkness("darkness"), weight=0.5)]
    )
    video = noise()
    scores = mixture.score(video, ["a", "b"], generator_from(0))
    mean = video.mean(dim=(1, 2, 3, 4))
    torch.testing.assert_close(scores.parts["brightness"], mean)
    torch.testing.assert_close(scores.parts["darkness"], -2 * mean)
    torch.testing.assert_close(scores.total, 3 * mean - mean)
    assert set(scores.metrics()) == {"reward", "reward_brightness", "reward_darkness"}
    assert isinstance(Brightness(), Reward)


def test_weights_are_the_mixtures_own_and_know_no_process():
    fields = set(Weighted.__dataclass_fields__)
    assert fields == {"reward", "weight", "num_frames", "frames"}
    video, generator = noise(), generator_from(0)
    once = Mixture([Weighted(reward=Brightness(), weight=2.0)]).score(video, ["a", "b"], generator).total
    parts = [
        Mixture([Weighted(reward=Brightness(), weight=2.0)]).score(one[None], ["a"], generator).total
        for one in video
    ]
    torch.testing.assert_close(once, torch.cat(parts))  # two processes with a clip each


@pytest.mark.parametrize("choice", ["random", "stride"])
@pytest.mark.parametrize(("total", "count"), [(16, 8), (26, 8), (16, 5), (5, 5), (7, 1), (9, 4)])
def test_chosen_frames_are_distinct_ascending_and_inside(choice, total, count):
    generator = generator_from(1)
    for _ in range(50):
        chosen = choose_frames(total, count, choice, generator)
        assert len(set(chosen)) == count
        assert chosen == sorted(chosen)
        assert chosen[0] >= 0
        assert chosen[-1] < total


def test_strides_are_even_and_every_phase_occurs():
    generator = generator_from(0)
    starts = Counter()
    for _ in range(400):
        chosen = choose_frames(26, 8, "stride", generator)  # stride 3: the last frame is start + 21
        assert {b - a for a, b in itertools.pairwise(chosen)} == {3}
        starts[chosen[0]] += 1
    assert set(starts) == {0, 1, 2, 3, 4}
    assert min(starts.values()) > 50


def test_random_frames_cover_all():
    generator = generator_from(0)
    seen = Counter(frame for _ in range(300) for frame in choose_frames(6, 2, "random", generator))
    assert set(seen) == set(range(6))
    assert min(seen.values()) > 60


def test_the_generator_decides():
    draws = [choose_frames(100, 5, "random", generator_from(seed)) for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


def test_each_reward_gets_its_own_number_of_frames_in_order():
    few, all_frames = Brightness("few"), Brightness("all")
    mixture = Mixture([Weighted(reward=few, num_frames=3), Weighted(reward=all_frames)])
    mixture.score(counting(10), ["a"], generator_from(0))
    assert few.seen[0].shape[2] == 3
    assert few.seen[0][0, 0, :, 0, 0].diff().gt(0).all()
    assert all_frames.seen[0].shape[2] == 10


def test_of_latents_only_what_is_seen_is_decoded_and_once():
    decoded = []

    def decode(latents):
        decoded.append(latents)
        return 2 * latents

    one, two = Brightness("one"), Brightness("two")
    parts = [
        Weighted(reward=one, num_frames=4, frames="stride"),
        Weighted(reward=two, num_frames=5),
    ]
    latents = counting(16)
    from_latents = Mixture(parts).score_latents(latents, ["a"], generator_from(3), decode=decode)
    from_pixels = Mixture(parts).score(2 * latents, ["a"], generator_from(3))
    torch.testing.assert_close(from_latents.total, from_pixels.total)
    values = [round(100 * float(value)) for value in decoded[0][0, 0, :, 0, 0]]
    wanted = {round(50 * float(value)) for clip in (one, two) for value in clip.seen[0][0, 0, :, 0, 0]}
    assert len(decoded) == 1
    assert values == sorted(wanted)
    assert len(values) < 16


def test_a_decoder_that_joins_frames_is_refused():
    with pytest.raises(ValueError, match="decode the clip, then call score"):
        Mixture([Weighted(reward=Brightness())]).score_latents(
            counting(4), ["a"], generator_from(0), decode=lambda latents: latents.repeat(1, 1, 4, 1, 1)
        )


def test_a_weight_of_zero_is_logged_and_trains_nothing():
    watched = Brightness("watched")
    mixture = Mixture([Weighted(reward=Brightness()), Weighted(reward=watched, weight=0.0)])
    video = noise().requires_grad_()
    scores = mixture.score(video, ["a", "b"], generator_from(0))
    assert scores.parts["watched"].requires_grad is False
    torch.testing.assert_close(scores.total, scores.parts["brightness"])
    torch.testing.assert_close(scores.parts["watched"], scores.parts["brightness"].detach())


def test_gradients_of_the_total_reach_only_chosen_frames():
    video = counting(8).requires_grad_()
    mixture = Mixture([Weighted(reward=Brightness(), weight=5.0, num_frames=2)])
    mixture.score(video, ["a"], generator_from(0)).total.sum().backward()
    touched = video.grad.abs().amax(dim=(0, 1, 3, 4)) > 0
    assert touched.sum() == 2
    torch.testing.assert_close(video.grad.sum(), torch.tensor(5.0))


def test_nan_is_one_clear_error():
    mixture = Mixture([Weighted(reward=Brightness())])
    spoilt = noise()
    spoilt[0, 0, 0, 0, 0] = torch.nan
    with pytest.raises(FloatingPointError, match="pixels that are to be scored are NaN or infinite"):
        mixture.score(spoilt, ["a", "b"], generator_from(0))

    class Broken(Brightness):
        def score(self, video, prompts):
            return super().score(video, prompts) / 0

    with pytest.raises(FloatingPointError, match="scores of the reward broken are NaN or infinite"):
        Mixture([Weighted(reward=Broken("broken"))]).score(noise(), ["a", "b"], generator_from(0))


def test_what_cannot_be_mixed_is_refused():
    with pytest.raises(ValueError, match="different names"):
        Mixture([])
    with pytest.raises(ValueError, match="different names, not \\['brightness', 'brightness'\\]"):
        Mixture([Weighted(reward=Brightness()), Weighted(reward=Brightness())])
    with pytest.raises(ValueError, match="weight=inf of brightness"):
        Weighted(reward=Brightness(), weight=float("inf"))
    with pytest.raises(ValueError, match="num_frames=0 of brightness"):
        Weighted(reward=Brightness(), num_frames=0)
    with pytest.raises(ValueError, match="wants 8 distinct frames of a clip that has 4"):
        Mixture([Weighted(reward=Brightness(), num_frames=8)]).score(counting(4), ["a"], generator_from(0))


@pytest.mark.parametrize(
    ("shape", "prompts", "problem"),
    [
        ((2, 4, 3, 8, 8), ["a", "b"], r"shape \[2, 4, 3, 8, 8\] is not"),
        ((2, 3, 8, 8), ["a", "b"], "is not"),
        ((2, 3, 0, 8, 8), ["a", "b"], "is not"),
        ((2, 3, 4, 8, 8), ["a"], "2 clips need as many prompts in a list, not 1"),
        ((2, 3, 4, 8, 8), "ab", "not one text"),
    ],
)
def test_clips_that_no_reward_can_score_are_refused(shape, prompts, problem):
    with pytest.raises(ValueError, match=f"mine: .*{problem}"):
        check_clips(torch.zeros(shape), prompts, name="mine")

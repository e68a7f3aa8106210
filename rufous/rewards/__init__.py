"""Rewards: scores of clips that training can climb, and what turns latents into pixels for them.

* ``reward`` - what a reward is, which frames it gets, and weighted mixtures.
* ``decoding`` - latents to pixels inside a loss, in slices that are computed again for the backward pass.
* ``image_text`` - how well single frames show the prompt: CLIP, HPSv2.1, PickScore.
* ``video_text`` - how well the clip shows the prompt: ViCLIP.
* ``pairs`` - their networks and tokenizers, from published files.
* ``world`` - both kinds for the world, from its own model.
* ``loading`` - every reward by its name.
* ``feedback`` - a mixture as a loss term, and a guard against cheating.
"""

from rufous.rewards.decoding import SlicedDecoder, sliced_decoder
from rufous.rewards.feedback import GuardConfig, RewardFeedback
from rufous.rewards.image_text import ImageTextReward
from rufous.rewards.loading import REWARDS, load_reward
from rufous.rewards.reward import Mixture, Reward, Scores, Weighted
from rufous.rewards.video_text import VideoTextReward

__all__ = [
    "REWARDS",
    "GuardConfig",
    "ImageTextReward",
    "Mixture",
    "Reward",
    "RewardFeedback",
    "Scores",
    "SlicedDecoder",
    "VideoTextReward",
    "Weighted",
    "load_reward",
    "sliced_decoder",
]

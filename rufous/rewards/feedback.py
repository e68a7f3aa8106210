"""Reward feedback: a mixture of rewards on the student's clean estimates, and a guard against cheating.

The feedback is added to a distillation loss, as in T2V-Turbo and Hummingbird. A student that is pushed by a
reward learns what the reward overlooks: it stops moving, first of all. So the guard watches numbers that no
gradient reaches (rewards held out, motion against the teacher's, truth on the world) and turns the feedback
down when one of them strays from what was measured before the first step, further than it may and further
than chance would take it.

Source: T2V-Turbo (arXiv:2405.18750), eq. 8; Hummingbird (arXiv:2503.18559), stage 2.
Shapes: b batch, c latent channels, f latent frames, h w latent height and width.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from rufous.core.console import logger
from rufous.core.errors import ConfigError
from rufous.core.randomness import generator_from
from rufous.diffusion.losses import carried
from rufous.rewards.reward import Decode, Mixture

_log = logger(__name__)


@runtime_checkable
class Prompted(Protocol):
    """A batch that knows its captions."""

    @property
    def prompts(self) -> Sequence[str] | None:
        """One for each clip."""
        ...


@dataclass(frozen=True, kw_only=True)
class GuardConfig:
    """When the feedback is turned down: the mean of a watched number has strayed, and not by chance."""

    lowest: Mapping[str, float] = field(default_factory=dict)
    """Watched numbers and the share of the baseline's below which each has fallen, for example
    ``{"motion_magnitude": 0.95, "truth": 0.97}``."""
    highest: Mapping[str, float] = field(default_factory=dict)
    """The share above which each has risen too far, for example ``{"motion_magnitude": 1.1}``."""
    lowest_held_out: float | None = 0.97
    """As ``lowest`` for every reward of weight 0, watched as ``reward_NAME``; None watches none of them."""
    level: float = 0.05
    """Probability below which a change of the same clips is taken for more than chance (``chance_of``)."""
    factor: float = 0.5
    """The feedback's strength after a number has strayed, relative to before."""
    num_falls: int = 4
    """Validations with such a number after which the feedback is off."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.factor < 1.0 or self.num_falls < 1:
            raise ValueError(f"factor={self.factor}, num_falls={self.num_falls}: use [0, 1) and 1 or more")
        if not 0.0 < self.level < 1.0:
            raise ValueError(f"level={self.level}: use a probability between 0 and 1, for example 0.05")

    def check_names(self, measured: Collection[str]) -> None:
        """Refuse a guard of numbers that no validation measures.

        Raises:
            ValueError: It names one; the message lists those there are.
        """
        unknown = sorted({*self.lowest, *self.highest}.difference(measured))
        if unknown:
            raise ValueError(f"guard: {', '.join(unknown)} is not measured: use {', '.join(measured)}")


def chance_of(before: Sequence[float], after: Sequence[float]) -> float:
    """Probability that chance alone lowers the mean as far, of numbers of the same clips before and after.

    Without an effect each clip's change could as well have had the other sign: the share of random signs that
    give a sum as low. Of right and wrong clips that is McNemar's exact test.

    Source: Fisher 1935, The Design of Experiments, section 21; 10,000 signs drawn from a fixed seed.
    """
    change = torch.tensor(after, dtype=torch.float64) - torch.tensor(before, dtype=torch.float64)
    drawn = torch.randint(0, 2, (10_000, len(change)), generator=generator_from(0, "signs"))
    sums = (2 * drawn - 1).double() @ change
    return float((sums <= change.sum() + 1e-9).double().mean())


class RewardFeedback:
    """A loss term for a distillation objective; owns the feedback's strength and the guard's baseline.

    loss = -strength * mean_b mixture(decode(pred_x0))
    """

    def __init__(
        self, mixture: Mixture, decode: Decode, *, guard: GuardConfig | None = None, strength: float = 1.0
    ) -> None:
        """Start at full strength.

        Args:
            mixture: Rewards with their weights; one of weight 0 is held out: logged, watched, not trained on.
            decode: Scaled latents to pixels, for example of ``decoding.sliced_decoder``.
            guard: None to watch nothing.
            strength: Factor of the mixture's mean.

        Raises:
            ValueError: ``strength`` is negative.
        """
        if strength < 0.0:
            raise ValueError(f"strength={strength}: use 0 or more")
        self.strength = strength
        self._mixture, self._decode, self._guard = mixture, decode, guard
        self._lowest = {} if guard is None else {**_held_out(mixture, guard), **guard.lowest}
        self._highest = {} if guard is None else guard.highest
        self._baseline: dict[str, list[float]] = {}
        self._num_falls = 0
        self._strayed: dict[str, list[float]] = {}

    def __call__(
        self, pred_x0: Float[Tensor, "b c f h w"], batch: Prompted, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor | float]]:
        """The loss term, and what to log: each reward's mean, the strength, and how hard it pulls.

        ``feedback_pull`` is the norm of the loss's gradient in one clip's clean estimate, on average; compare
        it with the distillation's own to choose weights. That gradient is taken here, so that the decoder's
        and the rewards' activations are gone before the backward pass of the student begins.

        Raises:
            ValueError: The batch has no captions.
            FloatingPointError: A score is not finite.
        """
        if batch.prompts is None:
            raise ValueError("rewards read captions, and this batch has none: pass LatentBatch(prompts=...)")
        is_training = torch.is_grad_enabled() and self.strength > 0.0
        seen = pred_x0.detach().requires_grad_(is_training)
        with torch.set_grad_enabled(is_training):
            scores = self._mixture.score_latents(seen, batch.prompts, generator, decode=self._decode)
            loss = -self.strength * scores.total.mean()
        metrics = {name: _mean(value) for name, value in scores.metrics().items()}
        metrics["feedback_strength"] = self.strength
        if is_training and loss.requires_grad:
            loss, metrics["feedback_pull"] = carried(loss, seen, pred_x0)
        return loss, metrics

    @property
    def watched(self) -> frozenset[str]:
        """Names that every validation must measure; none without a guard."""
        return frozenset({*self._lowest, *self._highest})

    @property
    def strayed(self) -> str:
        """In words, what had strayed at the last validation, with both means; empty for nothing."""
        pairs = self._strayed.items()
        return ", ".join(f"{name} from {before:.4g} to {now:.4g}" for name, (before, now) in pairs)

    @property
    def figures(self) -> dict[str, Any]:
        """For a manifest: the strength; of a guard also its falls, and what had strayed at last."""
        guarded = {"num_falls": self._num_falls, "strayed": dict(self._strayed)} if self.watched else {}
        return {"strength": self.strength, **guarded}

    def compare_with(self, baseline: Mapping[str, Sequence[float]]) -> None:
        """What every validation is compared with; a resumed run has it from its state.

        Args:
            baseline: Holds every watched name, each clip's number, measured before the first step: what the
                student must keep to, such as its teacher's motion and its own truth.

        Raises:
            KeyError: A watched number is missing.
            ValueError: One is not finite, so nothing could be compared with it.
        """
        watched = {name: [float(value) for value in baseline[name]] for name in sorted(self.watched)}
        if not all(math.isfinite(value) for values in watched.values() for value in values):
            raise ValueError(f"the guard cannot compare with {watched}: measure finite numbers")
        self._baseline = watched

    def watch(self, measured: Mapping[str, Sequence[float]]) -> bool:
        """Compare a validation's numbers to the baseline, and turn the feedback down if one has strayed.

        Args:
            measured: Holds every watched name, each clip's number, of the baseline's clips in their order.

        Returns:
            Whether something had strayed.

        Raises:
            KeyError: A watched number is missing.
            ValueError: There is no baseline yet, or one of other clips.
        """
        if self._guard is None:
            return False
        if not self._baseline and self.watched:
            raise ValueError("the guard has no baseline: call compare_with before the first step")
        self._strayed = {
            name: [fmean(self._baseline[name]), fmean(measured[name])]
            for name in sorted(self.watched)
            if self._has_strayed(name, measured[name])
        }
        if not self._strayed:
            return False
        self._num_falls += 1
        is_off = self._num_falls >= self._guard.num_falls
        self.strength = 0.0 if is_off else self.strength * self._guard.factor
        _log.warning("the student cheats its rewards: %s; feedback is now %.3g", self.strayed, self.strength)
        return True

    def state_dict(self) -> dict[str, Any]:
        """Strength, baseline, falls so far, and what had strayed at the last validation."""
        return {
            "strength": self.strength,
            "baseline": dict(self._baseline),
            "num_falls": self._num_falls,
            "strayed": dict(self._strayed),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where a saved feedback was.

        Raises:
            ConfigError: An earlier version saved it, and what its guard compares with is of other clips.
        """
        if state["baseline"] and "strayed" not in state:
            raise ConfigError(
                "an earlier version began this run, and its guard measured clips of one length: use a new "
                "run_dir, or go on with that version"
            )
        self.strength = float(state["strength"])
        self._baseline = {name: [float(value) for value in of] for name, of in state["baseline"].items()}
        self._num_falls = int(state["num_falls"])
        self._strayed = dict(state.get("strayed", {}))

    def _has_strayed(self, name: str, values: Sequence[float]) -> bool:
        """NaN, or beyond a share of the baseline's mean by more than chance; of a negative mean (a cosine)
        the same part of its size counts."""
        assert self._guard is not None
        before = self._baseline[name]
        if len(values) != len(before):
            raise ValueError(f"{name} was measured on {len(values)} clips: use the baseline's {len(before)}")
        mean, size, now = fmean(before), abs(fmean(before)), fmean(values)
        if not math.isfinite(now):
            return True
        lowest, highest = self._lowest.get(name, -math.inf), self._highest.get(name, math.inf)
        if now < mean - (1.0 - lowest) * size:
            return chance_of(before, values) < self._guard.level
        return now > mean + (highest - 1.0) * size and chance_of(values, before) < self._guard.level


def _held_out(mixture: Mixture, guard: GuardConfig) -> dict[str, float]:
    if guard.lowest_held_out is None:
        return {}
    return {f"reward_{part.reward.name}": guard.lowest_held_out for part in mixture.parts if part.weight == 0}


def _mean(value: Tensor | float) -> Tensor | float:
    return value.mean() if isinstance(value, Tensor) else value

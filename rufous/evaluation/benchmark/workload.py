"""What a loaded model does for one clip, and how it is timed: whole clips, or single calls of each stage."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Stage = Literal["text", "denoise", "decode", "write"]
OnStage = Callable[[Stage], None]
"""Called as each stage begins."""
Seconds = dict[Stage, float]
"""Wall time of each stage; a GPU is waited for."""
How = Literal["clips", "calls"]
STAGES: tuple[Stage, ...] = ("text", "denoise", "decode", "write")


@dataclass(frozen=True, kw_only=True)
class ClipPlan:
    """The clip that is made, with nothing left open."""

    num_frames: int
    height: int
    """Pixels."""
    width: int
    """Pixels."""
    fps: float
    """Of the file."""
    num_inference_steps: int
    guidance_scale: float
    """As the model is told; one that embeds it needs no second pass."""
    passes_per_step: int
    """Passes of the network for one clip: 2 with guidance that is not embedded."""
    solver: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Workload:
    """A loaded model, and what it does for one clip from the prompt to the file."""

    make_clip: Callable[[OnStage], Seconds]
    """Makes and writes a whole clip."""
    make_calls: Callable[[OnStage], Seconds]
    """One call of each stage: all of the text, one denoising step, one slice of frames decoded, the file."""
    calls: Mapping[Stage, int]
    """How many of those calls a clip takes."""
    plan: ClipPlan
    network_calls_per_step: int
    """1 where both passes of guidance are one call of two clips; the weights are read once for each."""
    flop: Mapping[Stage, float]
    """Operations of a whole clip, a multiply and an add counted as two; a stage left out has none."""
    parameters: Mapping[str, int]
    """Of each network; the denoising one is ``"unet"``."""
    unet_bytes: int
    """Of the denoising network's weights."""
    tokens: Mapping[str, int]
    """Of one pass: ``"latent"`` positions and ``"text"`` tokens."""

    def predicted_s(self, flop_per_s: float) -> float:
        """Time of a clip whose operations run at that rate, in seconds."""
        return sum(self.flop.values()) / flop_per_s


def choose_how(workload: Workload, *, num_runs: int, flop_per_s: float, limit_s: float) -> How:
    """Whole clips if ``num_runs`` of them and one to warm up are predicted to take at most ``limit_s``."""
    return "clips" if (num_runs + 1) * workload.predicted_s(flop_per_s) <= limit_s else "calls"


def measure(
    workload: Workload,
    how: How,
    *,
    num_runs: int,
    limit_s: float,
    on_stage: OnStage = lambda _: None,
    on_round_end: Callable[[], None] = lambda: None,
) -> tuple[Seconds, list[Seconds]]:
    """Time the stages of a workload.

    Args:
        workload: Freshly loaded, so that the first round is a cold one.
        how: Whole clips, or single calls.
        num_runs: Rounds after the first, at least 1.
        limit_s: No further round is begun after so many seconds.
        on_stage: Called as each stage of each round begins, outside of its time.
        on_round_end: Called after each round.

    Returns:
        The first round, and those after it; the latter are the first again if that took all of the time.

    Raises:
        ValueError: ``num_runs`` is less than 1.
    """
    if num_runs < 1:
        raise ValueError(f"num_runs={num_runs} measures nothing: use 1 or more")
    make_round = workload.make_clip if how == "clips" else workload.make_calls

    def one_round() -> Seconds:
        seconds = make_round(on_stage)
        on_round_end()
        return seconds

    begin = time.perf_counter()
    cold = one_round()
    warm: list[Seconds] = []
    while len(warm) < num_runs and time.perf_counter() - begin < limit_s:
        warm.append(one_round())
    return cold, warm or [cold]

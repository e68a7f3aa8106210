"""Rounds are timed as often as asked, within the limit, and the first is kept apart."""

import pytest

from rufous.evaluation.benchmark import workload
from rufous.evaluation.benchmark.workload import ClipPlan, Seconds, Workload, choose_how, measure

PLAN = ClipPlan(
    num_frames=4,
    height=16,
    width=16,
    fps=8.0,
    num_inference_steps=3,
    guidance_scale=1.0,
    passes_per_step=1,
    solver="ddim",
)


class Clock:
    """Time that passes when a round is made: 10 s for the first clip, 4 s for others, 1 s for a call."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.made = 0.0, []
        monkeypatch.setattr(workload.time, "perf_counter", lambda: self.now)

    def make(self, kind: str, seconds: float) -> Seconds:
        if kind == "clip" and not self.made:
            seconds = 10.0
        self.now += seconds
        self.made.append(kind)
        return {"text": 0.0, "denoise": seconds, "decode": 0.0, "write": 0.0}

    def workload(self) -> Workload:
        return Workload(
            make_clip=lambda on_stage: self.make("clip", 4.0),
            make_calls=lambda on_stage: self.make("call", 1.0),
            calls={"text": 1, "denoise": 3, "decode": 4, "write": 1},
            plan=PLAN,
            network_calls_per_step=1,
            flop={"text": 10.0, "denoise": 80.0, "decode": 10.0},
            parameters={"unet": 1},
            unet_bytes=4,
            tokens={"latent": 1, "text": 1},
        )


def test_the_first_round_is_cold_and_the_others_are_as_many_as_asked(monkeypatch: pytest.MonkeyPatch):
    clock = Clock(monkeypatch)
    ends: list[int] = []
    cold, warm = measure(
        clock.workload(),
        "clips",
        num_runs=3,
        limit_s=100.0,
        on_round_end=lambda: ends.append(len(clock.made)),
    )
    assert ends == [1, 2, 3, 4]
    assert cold["denoise"] == 10.0
    assert [seconds["denoise"] for seconds in warm] == [4.0] * 3
    assert clock.made == ["clip"] * 4


def test_no_round_is_begun_after_the_limit(monkeypatch: pytest.MonkeyPatch):
    clock = Clock(monkeypatch)
    _, warm = measure(clock.workload(), "clips", num_runs=9, limit_s=15.0)
    assert len(warm) == 2  # begun at 10 and 14 s


def test_a_first_round_beyond_the_limit_counts_as_the_only_one(monkeypatch: pytest.MonkeyPatch):
    clock = Clock(monkeypatch)
    cold, warm = measure(clock.workload(), "clips", num_runs=9, limit_s=5.0)
    assert warm == [cold]
    assert clock.made == ["clip"]


def test_single_calls_make_no_clip(monkeypatch: pytest.MonkeyPatch):
    clock = Clock(monkeypatch)
    measure(clock.workload(), "calls", num_runs=1, limit_s=5.0)
    assert clock.made == ["call", "call"]


def test_calls_are_chosen_where_clips_would_take_too_long(monkeypatch: pytest.MonkeyPatch):
    slow = Clock(monkeypatch).workload()  # 100 operations a clip
    assert choose_how(slow, num_runs=4, flop_per_s=50.0, limit_s=10.0) == "clips"
    assert choose_how(slow, num_runs=5, flop_per_s=50.0, limit_s=10.0) == "calls"


def test_zero_runs_are_refused(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ValueError, match="num_runs=0 measures nothing: use 1 or more"):
        measure(Clock(monkeypatch).workload(), "clips", num_runs=0, limit_s=1.0)

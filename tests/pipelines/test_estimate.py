"""Predicted memory and time: what they add up, and when a generation is refused."""

import pytest
import torch

from rufous.pipelines import TextToVideoPipeline, estimate
from rufous.pipelines.estimate import check_memory, memory_text


def test_guidance_doubles_the_operations_of_denoising(tiny_pipeline: TextToVideoPipeline):
    guided, plain = (
        tiny_pipeline.estimate(tiny_pipeline.resolve("a star", guidance_scale=scale)) for scale in (2.0, 1.0)
    )
    assert guided.flop["denoise"] == 2 * plain.flop["denoise"]
    assert guided.flop["decode"] == plain.flop["decode"]
    assert guided.parameter_bytes == plain.parameter_bytes


def test_time_is_operations_over_rate(tiny_pipeline: TextToVideoPipeline):
    predicted = tiny_pipeline.estimate(tiny_pipeline.resolve("a star"))
    total = sum(predicted.flop.values())
    assert predicted.seconds(total) == pytest.approx(1 / estimate.NETWORK_EFFICIENCY)
    assert predicted.peak_bytes == predicted.parameter_bytes + predicted.activation_bytes


def test_a_generation_beyond_the_free_memory_is_refused_with_both_figures(
    tiny_pipeline: TextToVideoPipeline, monkeypatch: pytest.MonkeyPatch
):
    request = tiny_pipeline.resolve("a star", num_frames=1000, height=1024, width=2048)
    predicted = tiny_pipeline.estimate(request)
    monkeypatch.setattr(estimate, "free_memory_bytes", lambda _: 3_000_000_000)
    with pytest.raises(
        ValueError, match=r"1000 frames of 2048x1024 .* [\d.]+ GB .* 3.0 GB are free on cpu: use fewer"
    ):
        check_memory(predicted, request, torch.device("cpu"))


def test_memory_is_written_in_the_unit_that_suits():
    assert memory_text(12_345_678) == "12 MB"
    assert memory_text(12_345_678_901) == "12.3 GB"

import json

import pytest
import torch

from rufous.evaluation import ComparedModel, Comparison, GeneratedClip, SeededPrompt, compare_models
from rufous.evaluation.judging import JudgedClip
from rufous.evaluation.side_by_side import (
    ComparedClip,
    figures_text,
    summarize,
    to_report,
    truth_text,
)
from rufous.world import Verdict


def shown(verdict: Verdict | None, *, motion: float | None = 0.25, denoise_s: float = 1.0) -> ComparedClip:
    clip = GeneratedClip(frames=torch.zeros(2, 3, 16, 16, dtype=torch.uint8), fps=8.0, denoise_s=denoise_s)
    return ComparedClip(clip=clip, judged=JudgedClip(motion_magnitude=motion, verdict=verdict))


def test_the_world_itself_is_right_and_an_empty_picture_is_not(comparison: Comparison):
    for true, empty in ((true.judged, empty.judged) for true, empty in comparison.clips[:2]):
        assert true.verdict is not None
        assert true.verdict.all_right
        assert empty.verdict is not None
        assert empty.verdict.attributes["count"] == "wrong"
        assert empty.motion_magnitude == 0.0


def test_models_are_loaded_one_after_another_and_asked_for_the_same_rows(rows: list[SeededPrompt]):
    seen: list[object] = []

    def model(name: str) -> ComparedModel:
        def generate(row: SeededPrompt) -> GeneratedClip:
            seen.append((name, row.prompt, row.seed))
            return shown(None).clip

        def load():
            seen.append(f"load {name}")
            return generate

        return ComparedModel(label=name, details={}, load=load)

    made = compare_models([model("a"), model("b")], rows)
    asked = [(row.prompt, row.seed) for row in rows]
    assert seen == ["load a", *(("a", *row) for row in asked), "load b", *(("b", *row) for row in asked)]
    assert [len(row) for row in made.clips] == [2, 2, 2]


def test_nothing_to_compare_is_refused(rows: list[SeededPrompt]):
    with pytest.raises(ValueError, match="cannot compare 0 models on 3 prompts"):
        compare_models([], rows)


@pytest.mark.parametrize(
    ("attributes", "text"),
    [
        ({"shape": "right", "count": "right"}, "all 2 right"),
        ({"color": "wrong", "count": "right", "size": "unsure"}, "right 1 of 3; wrong: color; unsure: size"),
        ({"motion": "wrong", "shape": "wrong"}, "right 0 of 2; wrong: shape, motion"),
        (None, "truth not judged"),
    ],
)
def test_truth_in_one_line(attributes: dict[str, str] | None, text: str):
    assert truth_text(None if attributes is None else Verdict(attributes)) == text


def test_figures_in_one_line():
    assert figures_text(0.256, 1.254) == "motion 0.26, denoised in 1.25 s"
    assert figures_text(None, 12.34) == "motion not measured, denoised in 12.3 s"


def test_means_leave_out_what_was_not_judged():
    right, half = Verdict({"count": "right", "shape": "right"}), Verdict({"count": "right", "shape": "wrong"})
    clips = [shown(right, denoise_s=1.0), shown(half, motion=0.75), shown(None, motion=None, denoise_s=4.0)]
    means = summarize(clips)
    assert (means.num_judged, means.num_all_right, means.attributes_right) == (2, 1, 0.75)
    assert (means.motion_magnitude, means.denoise_s) == (0.5, 2.0)
    nothing = summarize([shown(None, motion=None)])
    assert (nothing.num_judged, nothing.attributes_right, nothing.motion_magnitude) == (0, None, None)


def test_the_report_is_json_with_every_figure(comparison: Comparison):
    report = json.loads(json.dumps(to_report(comparison)))
    assert [model["label"] for model in report["models"]] == ["the <world>", "empty"]
    assert report["models"][0]["num_all_right"] == 2
    assert report["models"][0]["denoise_s"] == pytest.approx((2 + 3 + 11) / 3)
    assert [row["seed"] for row in report["rows"]] == [0, 1, 9]
    assert report["rows"][0]["clips"][0]["truth"]["shape"] == "right"
    assert report["rows"][2]["clips"][1]["truth"] is None

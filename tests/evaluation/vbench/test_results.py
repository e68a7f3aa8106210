import json
import zipfile
from pathlib import Path

import pytest

from rufous.evaluation.vbench.results import DimensionResult, read_eval_results, scores_of, write_eval_results

CLIP = {"video_path": "clips/alley-0.mp4", "video_results": 0.75}


def test_results_have_the_published_layout(tmp_path):
    path = tmp_path / "run_eval_results.json"
    results = {"temporal_flickering": DimensionResult(score=0.75, videos=(CLIP,))}
    write_eval_results(path, results)
    assert json.loads(path.read_text()) == {"temporal_flickering": [0.75, [CLIP]]}
    assert path.read_text().startswith('{\n    "temporal_flickering"')
    assert read_eval_results(path) == results


def archive(tmp_path: Path, **files: object) -> Path:
    path = tmp_path / "results.zip"
    with zipfile.ZipFile(path, "w") as target:
        for name, content in files.items():
            target.writestr(name, content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize("kind", ["zip", "folder"])
def test_files_at_the_root_or_one_folder_deep_are_read(kind, tmp_path):
    path = archive(
        tmp_path,
        **{
            "a_eval_results.json": {"color": [0.5, []]},
            "model/b_eval_results.json": {"scene": [0.25, [CLIP]]},
            "model/deeper/c.json": {"human_action": [1.0, []]},
            "__MACOSX/d.json": {"human_action": [1.0, []]},
            ".hidden.json": {"human_action": [1.0, []]},
            "a_full_info.json": [{"prompt_en": "x"}],
            "clips.manifests/a lake-0.json": {"prompt": "a lake", "file": "a lake-0.mp4", "seed": 1},
            "notes.txt": "nothing",
        },
    )
    if kind == "folder":
        with zipfile.ZipFile(path) as source:
            source.extractall(tmp_path / "folder")
        path = tmp_path / "folder"
    assert scores_of(read_eval_results(path)) == {"color": 0.5, "scene": 0.25}


def test_two_scores_for_one_dimension_are_refused(tmp_path):
    path = archive(tmp_path, **{"a.json": {"color": [0.5, []]}, "b.json": {"color": [0.6, []]}})
    with pytest.raises(ValueError, match=r"two scores for color, the second in b\.json"):
        read_eval_results(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no JSON"),
        ('{"color": 0.5}', "color has no score"),
        ('{"color": []}', "color has no score"),
        ('{"color": [NaN, []]}', "color has no score"),
        ("[]", "holds no results"),
    ],
)
def test_what_is_no_result_says_so(content, message, tmp_path):
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_eval_results(path)


def test_a_dimension_that_was_not_measured_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="color is nan"):
        write_eval_results(tmp_path / "x.json", {"color": DimensionResult(score=float("nan"))})

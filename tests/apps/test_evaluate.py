"""``rufous evaluate``: folders, models, comparisons, what is resumed, and every input that is refused."""

import json
from pathlib import Path

import pytest
import torch

from rufous.apps import cli
from rufous.core.errors import CheckpointError
from rufous.core.files import sha256_of
from rufous.evaluation import measuring
from rufous.evaluation.bootstrap import FEWEST_PROMPTS
from rufous.evaluation.dimensions import rows as dimension_rows
from rufous.evaluation.dimensions.clipsim import Clipsim
from rufous.evaluation.dimensions.loaded_row import LoadedRow
from rufous.evaluation.dimensions.static_filter import StaticFilter
from rufous.evaluation.dimensions.temporal_flickering import TemporalFlickering
from rufous.evaluation.vbench.results import DimensionResult, write_eval_results
from rufous.evaluation.vbench.score_table import T2V
from rufous.pipelines import TextToVideoPipeline
from rufous.video import write_video
from rufous.world import WorldClips

WORLD = WorldClips(seed=8, complete_captions=True)
FLICKER = "unfiltered_temporal_flickering"
ROWS = ("--rows", "temporal_flickering,world_truth,world_motion", "--jobs", "1", "--device", "cpu")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three clips of the world, named by their prompts, in an otherwise empty place."""
    monkeypatch.chdir(tmp_path)
    for index in range(3):
        clip = WORLD[index]
        write_video(tmp_path / "clips" / f"{clip.caption}-0.mp4", clip.frames, fps=clip.fps, crf=12)
    return tmp_path / "clips"


def run(*arguments: object) -> int:
    return cli.run(["evaluate", *map(str, arguments)])


def results(folder: str = "evaluation") -> dict:
    return json.loads(Path(folder, "results.json").read_text())


def test_a_folder_gives_json_and_a_page(folder, capsys):
    assert run(folder, *ROWS) == cli.DONE
    found = results()
    assert found["rows"][FLICKER]["num_clips"] == 3
    assert found["rows"]["world_truth"]["score"] > 0.6
    assert found["world"]["attributes"]["count"]["right"] == 1.0
    assert found["problems"] == []
    assert "<svg" in Path("evaluation/report.html").read_text()
    vbench = json.loads(Path("evaluation/results_eval_results.json").read_text())
    assert vbench == {}  # VBench's row counts clips that stand still, and no suite says which should
    shown = capsys.readouterr()
    assert "world right: shape" in shown.out
    assert shown.out.splitlines()[-2:] == ["evaluation/results.json", "evaluation/report.html"]


def test_the_same_command_again_measures_only_what_is_new(folder, monkeypatch):
    assert run(folder, *ROWS, "--quiet") == cli.DONE
    before, opened, read = results(), [], measuring.read_clip
    monkeypatch.setattr(
        measuring, "read_clip", lambda path, **told: opened.append(path.name) or read(path, **told)
    )
    extra = WORLD[3]
    path = write_video(folder / f"{extra.caption}-0.mp4", extra.frames, fps=extra.fps, crf=12)
    assert run(folder, *ROWS, "--quiet") == cli.DONE
    assert opened == [path.name]
    assert [clip for clip in results()["clips"] if clip["file"] != path.name] == before["clips"]


def test_what_is_wrong_is_told_by_file_and_ends_with_1(folder, capsys):
    (folder / "a red circle-0.mp4").write_bytes(b"")
    write_video(folder / "00 one frame-0.mp4", torch.zeros(1, 3, 32, 32, dtype=torch.uint8), fps=8.0)
    for found in (
        ["--device", "cpu", "--jobs", "1"],
        ROWS,
    ):  # first in name order, with all rows and with some
        assert run(folder, *found) == cli.FAILURE
        assert {p["file"] for p in results()["problems"]} == {"a red circle-0.mp4", "00 one frame-0.mp4"}
        assert "a red circle-0.mp4: empty file" in capsys.readouterr().err
        assert results()["rows"][FLICKER]["num_clips"] == 3


def test_weights_that_are_there_and_wrong_show_in_the_exit_code(folder, monkeypatch, capsys):
    def damaged(device: torch.device) -> LoadedRow:
        raise CheckpointError("raft.pth is damaged")

    monkeypatch.setattr(dimension_rows, "published_rows", lambda names: {"dynamic_degree": damaged})
    command = (folder, "--rows", "dynamic_degree,temporal_flickering,appearance_style", "--device", "cpu")
    assert run(*command) == cli.FAILURE
    assert results()["problems"] == [{"file": "dynamic_degree", "reason": "raft.pth is damaged"}]
    assert list(results()["rows"]) == [FLICKER]
    assert results()["left_out"]["appearance_style"].startswith("no clip says what to look for")
    assert "left out dynamic_degree: raft.pth is damaged" in capsys.readouterr().err


def test_a_suite_finds_strange_and_missing_clips(folder, tmp_path):
    suite = tmp_path / "suite.json"
    dimensions = ["temporal_flickering"]
    suite.write_text(
        json.dumps([{"prompt_en": WORLD[i].caption, "dimension": dimensions} for i in (0, 1, 5)])
    )
    assert run(folder, *ROWS, "--suite", suite, "--samples", 1, "--quiet") == cli.FAILURE
    told = {p["file"]: p["reason"] for p in results()["problems"]}
    missing = [f"{WORLD[i].caption}-{index}.mp4" for i in (0, 1, 5) for index in range(5)]
    assert told == {f"{WORLD[2].caption}-0.mp4": "its prompt is not in the suite"} | {
        name: "missing" for name in missing if not (folder / name).is_file()
    }
    # without flow nobody knows which clips stand still, so that VBench's row has no value
    assert "temporal_flickering" not in results()["rows"]
    assert results()["rows"]["unfiltered_temporal_flickering"]["num_clips"] == 2
    assert "static_filter" in results()["left_out"]["temporal_flickering"]
    assert json.loads(Path("evaluation/results_eval_results.json").read_text()) == {}
    [entry, *_] = json.loads(Path("evaluation/results_full_info.json").read_text())
    assert entry["video_list"] == [str(folder / f"{WORLD[0].caption}-0.mp4")]
    told_suite = results()["run"]["suite"]
    assert told_suite == {"file": str(suite), "sha256": sha256_of(suite)}


def test_rows_narrow_a_suite(folder, tmp_path, capsys):
    suite = tmp_path / "suite.json"
    asked = [
        (WORLD[0].caption, ["scene", "appearance_style"]),
        ("an alley", ["color"]),
        (WORLD[1].caption, []),
    ]
    suite.write_text(json.dumps([{"prompt_en": prompt, "dimension": rows} for prompt, rows in asked]))
    (folder / f"{WORLD[2].caption}-0.mp4").unlink()
    scene = ("--rows", "proxy_scene", "--suite", suite, "--samples", 1, "--quiet", "--device", "cpu")
    assert run(folder, *scene) == cli.DONE
    assert {clip["prompt"] for clip in results()["clips"]} == {WORLD[0].caption, WORLD[1].caption}
    assert run(folder, *scene[2:], "--rows", "human_action") == cli.DONE  # of the prompt for every row
    suite.write_text(json.dumps([{"prompt_en": WORLD[0].caption, "dimension": ["scene"]}]))
    assert run(folder, *scene[2:], "--rows", "color") == cli.USAGE
    assert "--suite asks for none of --rows color" in capsys.readouterr().err


def test_clipsim_is_measured_under_a_suite_where_it_is_asked_for(folder, tmp_path, monkeypatch):
    suite = tmp_path / "suite.json"
    told = [{"prompt_en": WORLD[i].caption, "dimension": ["color"]} for i in range(3)]
    suite.write_text(json.dumps(told))

    def unit(given):
        return torch.nn.functional.normalize(torch.ones(len(given), 2), dim=-1)

    stub = {"clipsim": lambda device: LoadedRow(Clipsim(embed=unit, embed_text=unit))}
    monkeypatch.setattr(dimension_rows, "row_loaders", lambda names: stub)
    command = (folder, "--suite", suite, "--samples", 1, "--device", "cpu", "--quiet")
    assert run(*command, "--rows", "clipsim") == cli.DONE
    assert results()["rows"]["clipsim"]["num_clips"] == 3
    assert results()["rows"]["clipsim"]["score"] == pytest.approx(1.0)


def test_flickering_of_a_suite_counts_clips_that_stand_still(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    still = WORLD[0].frames[:1].repeat(4, 1, 1, 1)
    for index, frames in enumerate([still, WORLD[0].frames[:4], still, still]):
        write_video(tmp_path / "clips" / f"a still lake-{index}.mp4", frames, fps=8.0)
    (tmp_path / "suite.json").write_text(
        '[{"prompt_en": "a still lake", "dimension": ["temporal_flickering"]}]'
    )

    def moved(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """All as far as the pixels differ."""
        return (first - second).abs().mean().expand(1, 2, *first.shape[-2:])

    filtering = {"static_filter": lambda device: LoadedRow(StaticFilter(flow=moved))}
    monkeypatch.setattr(dimension_rows, "published_rows", lambda names: filtering)
    command = (
        "clips",
        "--suite",
        "suite.json",
        "--rows",
        "temporal_flickering",
        "--device",
        "cpu",
        "--quiet",
    )
    assert run(*command, "--samples", 2) == cli.FAILURE  # six of the ten that generate makes are missing
    row = results()["rows"]["temporal_flickering"]
    assert row["num_clips"] == 2
    assert row["not_counted"] == {"it moves": 1, "enough clips of its prompt stand still before it": 1}
    assert results()["rows"]["unfiltered_temporal_flickering"]["num_clips"] == 4
    assert {p["reason"] for p in results()["problems"]} == {"missing"}
    assert run(*command, "--samples", 4) == cli.FAILURE
    assert "3 of 4 clips stand still" in results()["problems"][-1]["reason"]
    assert (
        len(json.loads(Path("evaluation/results_eval_results.json").read_text())["temporal_flickering"][1])
        == 3
    )


def test_prompts_come_from_manifests_beside_the_clips(folder):
    (path,) = folder.glob(f"{WORLD[0].caption}-0.mp4")
    path.rename(folder / "01-thing.mp4")
    (folder / "01-thing.json").write_text(json.dumps({"prompt": WORLD[0].caption, "file": "01-thing.mp4"}))
    assert run(folder, *ROWS, "--quiet") == cli.DONE
    assert {c["file"]: c["prompt"] for c in results()["clips"]}["01-thing.mp4"] == WORLD[0].caption


def test_clips_of_anything_else_leave_the_world_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "clips" / "a panda-0.mp4", WORLD[0].frames, fps=8.0)
    assert run("clips", "--quiet", "--device", "cpu") == cli.DONE
    assert list(results()["rows"]) == [FLICKER]
    assert results()["left_out"]["world_truth"] == "no prompt is in the world's grammar"


def test_two_results_are_compared(folder, capsys):
    for index in range(3, FEWEST_PROMPTS):
        write_video(folder / f"{WORLD[index].caption}-0.mp4", WORLD[index].frames, fps=8.0)
    assert run(folder, *ROWS, "--quiet", "-o", "first") == cli.DONE
    for path in folder.iterdir():
        black_and_white = torch.tensor([0, 255, 0, 255], dtype=torch.uint8)[:, None, None, None]
        write_video(path, black_and_white.repeat(1, 3, 64, 64), fps=8.0)
    assert run(folder, *ROWS, "-o", "second", "--against", "first/results.json") == cli.DONE
    assert f"{FLICKER}  8" in capsys.readouterr().out
    assert "clip by clip" in Path("second/report.html").read_text()
    both = ("--compare", "first/results.json", "second/results.json")
    assert run(*both, "--json", "-o", "compared") == cli.DONE
    shown = json.loads(capsys.readouterr().out)
    assert json.loads(Path("compared/comparison.json").read_text()) == shown
    assert [file["sha256"] for file in shown["compared"]] == [sha256_of(file) for file in both[1:]]
    page = Path("compared/comparison.html").read_text()
    assert "second lower by" in page
    assert "<svg" in page
    assert run(*both, "-o", "first/results.json") == cli.FAILURE  # a file, not a folder
    capsys.readouterr()
    rows = {row["row"]: row for row in shown["rows"]}
    assert "second lower" in rows[FLICKER]["in_words"]
    assert run("--compare", "first/results.json", "first/results.json") == cli.DONE
    assert "no difference" in capsys.readouterr().out


def test_nothing_to_compare_is_a_problem_of_a_whole_report(folder):
    assert run(folder, *ROWS, "--quiet", "-o", "first") == cli.DONE
    for path in folder.iterdir():
        path.rename(path.with_stem(path.stem.replace("-0", "-7")))
    assert run(folder, *ROWS, "--quiet", "-o", "second", "--against", "first/results.json") == cli.FAILURE
    [problem] = results("second")["problems"]
    assert problem["file"] == "first/results.json"
    assert "nothing to compare" in problem["reason"]
    assert "Nothing to compare" in Path("second/report.html").read_text()


def test_rows_of_another_program_join_and_totals_of_its_files_are_printed(folder, tmp_path, capsys):
    scores = {row: 0.5 for row in T2V.rows}
    write_eval_results("all.json", {row: DimensionResult(score=score) for row, score in scores.items()})
    assert run(folder, *ROWS, "--with-rows", "all.json", "--quiet") == cli.DONE
    assert results()["total"]["total"] > 0
    assert results()["rows"]["color"]["label"] == "outside"
    assert results()["run"]["with_rows"]["file"] == "all.json"
    (tmp_path / "suite.json").write_text('[{"prompt_en": "a lake", "dimension": ["temporal_flickering"]}]')
    filtered = {"static_filter": lambda device: LoadedRow(StaticFilter(flow=lambda *_: 1 / 0))}
    twice = ("--rows", "temporal_flickering", "--suite", "suite.json", "--with-rows", "all.json")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dimension_rows, "published_rows", lambda names: filtered)
        assert run(folder, *twice, "--device", "cpu", "--quiet") == cli.USAGE
    assert "temporal_flickering would be measured here too" in capsys.readouterr().err
    assert run("--score", "all.json") == cli.DONE
    assert "total                   0.2838" in capsys.readouterr().out


def test_flickering_of_clips_that_move_joins_no_total(folder):
    others = {row: DimensionResult(score=0.5) for row in T2V.rows if row != "temporal_flickering"}
    write_eval_results("most.json", others)
    assert run(folder, *ROWS, "--with-rows", "most.json", "--quiet") == cli.DONE
    assert results()["total"] is None
    assert results()["total_lacks"] == ["temporal_flickering"]
    assert results()["rows"][FLICKER]["label"] == "exact"


def test_json_is_all_that_is_printed_where_a_model_makes_the_clips(
    tiny_release, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prompts.txt").write_text("a blue star\n")
    command = ("--model", tiny_release, "--prompts", "prompts.txt", *ROWS, "--json", "-o", "made")
    assert run(*command) == cli.DONE
    found = json.loads(capsys.readouterr().out)
    write_eval_results("made/all_eval_results.json", {row: DimensionResult(score=0.5) for row in T2V.rows})
    assert run("--score", "made") == cli.DONE  # for all the manifests of clips in it
    assert found["run"]["samples"] == 1
    assert found["run"]["torch"] == torch.__version__
    assert found["run"]["prompts"]["sha256"] == sha256_of("prompts.txt")
    assert {"date", "command", "device", "av"} <= set(found["run"])


def test_jobs_that_cannot_be_used_are_told(folder, monkeypatch, capsys):
    large = {FLICKER: lambda device: LoadedRow(TemporalFlickering(name=FLICKER), is_large=True)}
    monkeypatch.setattr(dimension_rows, "row_loaders", lambda names: large)
    command = (folder, "--rows", "temporal_flickering", "--device", "cpu", "--jobs")
    assert run(*command, 2) == cli.DONE
    assert "note: one process" in capsys.readouterr().err


def test_a_model_is_asked_as_generate_asks_it(tiny_release, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prompts.txt").write_text("a red circle moving left\n")
    asked = ("--frames", "6", "--size", "24x16", "--fps", "4", "--solver", "euler", "--dtype", "bf16")
    command = ("--model", tiny_release, "--prompts", "prompts.txt", *ROWS, "--quiet", "-o", "made")
    assert run(*command, *asked, "--negative", "a star", "--steps", "2") == cli.DONE
    [path] = Path("made/clips.manifests").iterdir()
    made = json.loads(path.read_text())
    assert (made["num_frames"], made["width"], made["height"], made["fps"]) == (6, 24, 16, 4.0)
    assert (made["sampling"]["solver"], made["dtype"], made["negative_prompt"]) == (
        "euler",
        "bfloat16",
        "a star",
    )


def test_a_model_makes_several_clips_at_once(tiny_release, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prompts.txt").write_text("a red circle\na blue star\na green heart\n")
    sizes, call = [], TextToVideoPipeline.__call__

    def counted(self, prompts, **options):
        sizes.append(len(prompts))
        return call(self, prompts, **options)

    monkeypatch.setattr(TextToVideoPipeline, "__call__", counted)
    command = ("--model", tiny_release, "--prompts", "prompts.txt", *ROWS, "--quiet", "-o", "made")
    assert run(*command, "--batch-size", 2) == cli.DONE
    assert sizes == [2, 1]
    assert results("made")["rows"][FLICKER]["num_clips"] == 3


def test_a_model_makes_the_clips_first_and_only_once(tiny_release, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"prompt": "a red circle moving left", "seed": 3}\n{"prompt": "a blue star"}\n')
    command = ("--model", tiny_release, "--prompts", prompts, *ROWS, "--quiet", "-o", "made")
    assert run(*command) == cli.DONE
    names = {"a red circle moving left-0.mp4", "a blue star-0.mp4"}
    files = {path.name: path.stat().st_mtime_ns for path in Path("made/clips").iterdir()}
    assert set(files) == names
    assert run(*command) == cli.DONE
    assert {path.name: path.stat().st_mtime_ns for path in Path("made/clips").iterdir()} == files
    assert results("made")["source"] == str(tiny_release)
    assert results("made")["rows"][FLICKER]["num_clips"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give a folder of clips, or --model"),
        (("nowhere",), "nowhere is no folder"),
        (("clips", "--rows", "flicker"), "no row flicker"),
        (("clips", "--prompts", "x.txt"), "--prompts is for --model"),
        (("clips", "--frames", "8"), "--frames is for --model"),
        (("clips", "--batch-size", "2"), "--batch-size is for --model"),
        (("clips", "--suite", "ucf101"), "no suite 'ucf101'"),
        (("--model", "x"), "--model needs prompts"),
        (("clips", "--suite", "none"), "no suite 'none'"),
        (("clips", "--i2v"), "--i2v says which table --score reads"),
        (("--score", "clips/x.json"), "x.json holds no results"),
        (("--compare", "clips/x.json", "clips/x.json"), "holds no results"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(arguments, message, folder, capsys):
    (folder / "x.json").write_text("{}")
    assert run(*arguments) == cli.USAGE
    assert message in capsys.readouterr().err

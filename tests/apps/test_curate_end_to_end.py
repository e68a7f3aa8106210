"""The whole of curation as a user has it: a mixed folder to a set, and a generator trained on that set."""

import importlib.util
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from rufous.apps import cli
from rufous.data.executor import DIED
from rufous.data.manifest import read_manifest
from rufous.data.stages.registry import STAGES
from rufous.video import write_video
from rufous.world.captions import caption_of
from rufous.world.dataset import WorldClips
from tests.apps.test_curate import write_clips
from tests.data.real_input import CASES, can_write, write_case
from tests.data.small_stages import Brightness, FragileDecoder, mark_as_fatal

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="the extra ray is not installed"
)
CODECS = ("h264_ntsc.mp4", "hevc_10bit.mkv", "vp9.webm", "mpeg4.avi")
NUM_WORLD = 10
BROKEN = {"empty.mp4": "empty file", "noise.mp4": "damaged, truncated or not a video"}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of several codecs, clips of the world with their captions beside them, and broken files."""
    folder = tmp_path_factory.mktemp("mixed")
    for case in CASES:
        if case.name in CODECS and can_write(case):
            write_case(case, folder)
    clips = WorldClips(seed=31, height=64, width=64, num_frames=24, fps=12.0)
    for index in range(NUM_WORLD):
        write_video(folder / f"world{index}.mp4", clips[index].frames, fps=12)
        caption = caption_of(clips.scene(index)[0], np.random.default_rng(index))
        (folder / f"world{index}.txt").write_text(caption + "\n")
    (folder / "empty.mp4").touch()
    (folder / "noise.mp4").write_bytes(np.random.default_rng(5).bytes(20_000))
    return folder


def rufous(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The program, run in ``folder``."""
    command = [sys.executable, "-m", "rufous", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder)


@pytest.fixture(scope="module")
def curated(mixed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the documented command makes of it."""
    out = tmp_path_factory.mktemp("curated")
    done = rufous(out, "curate", mixed, "-o", out / "OUT", "--preset", "hummingbird", "--jobs", 2)
    assert done.returncode == cli.FAILURE, done.stderr  # for the broken files
    return out / "OUT"


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_mixed_folder_becomes_manifest_shards_and_report(mixed, curated):
    rows = {clip.source: clip for clip in read_manifest(curated / "manifest.parquet")}
    assert set(rows) == {path.name for path in mixed.iterdir() if path.suffix != ".txt"}
    for name, reason in BROKEN.items():
        assert reason in (rows[name].dropped or "")
    kept = [clip for clip in rows.values() if clip.dropped is None]
    assert len([clip for clip in kept if "original" in clip.captions]) >= 4  # a batch of the trainer's
    assert any(clip.source in CODECS for clip in kept)
    assert all({"technical", "flow", "smoothness", "text_area"} <= set(clip.scores) for clip in kept)
    with tarfile.open(curated / "shards" / "00000.tar") as tar:
        names = tar.getnames()
    assert sum(name.endswith(".json") for name in names) == len(kept)
    assert sum(name.endswith(".txt") for name in names) == sum(bool(clip.captions) for clip in kept)
    page = (curated / "report.html").read_text()
    assert all(name in page and reason in page for name, reason in BROKEN.items())
    assert json.loads((curated / "run.json").read_text())["num_kept"] == len(kept)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_generator_trains_on_it_with_one_command(curated, tmp_path):
    manifest = f"data.manifest={curated / 'manifest.parquet'}"
    trained = rufous(tmp_path, "train", "curated", "--preset", "world", manifest, "train.num_steps=1")
    assert trained.returncode == cli.DONE, trained.stderr
    assert len(list(tmp_path.glob("runs/**/release"))) == 1


@needs_ray
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ray_makes_the_same_set_of_it(mixed, curated, tmp_path):
    on_ray = ("--preset", "hummingbird", "--executor", "ray", "--jobs", 2)
    done = rufous(tmp_path, "curate", mixed, "-o", "OUT", *on_ray)
    assert done.returncode == cli.FAILURE, done.stderr
    for name in ("manifest.parquet", "shards/00000.tar"):
        assert (tmp_path / "OUT" / name).read_bytes() == (curated / name).read_bytes()


@pytest.fixture
def one_fatal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three clips, one of them such that its decoder takes the process down; and the stages for them."""
    for stage in (Brightness, FragileDecoder):
        monkeypatch.setitem(STAGES, stage.name, stage)
    write_clips(tmp_path / "videos", 3)
    mark_as_fatal(tmp_path / "videos" / "1.mp4")
    return tmp_path / "videos"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("executor", ["local", pytest.param("ray", marks=needs_ray)])
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_a_file_on_which_the_decoder_segfaults_costs_its_own_row(one_fatal, executor):
    """In a worker of the command, while the frames are decoded for a later stage."""
    out = one_fatal.parent / "out"
    command = ["curate", str(one_fatal), "-o", str(out), "--stages", "probe,fragile_decoder,brightness"]
    assert cli.run([*command, "--jobs", "2", "--executor", executor, "--quiet"]) == cli.FAILURE
    rows = {clip.source: clip for clip in read_manifest(out / "manifest.parquet")}
    assert {name: clip.dropped for name, clip in rows.items()} == {
        "0.mp4": None,
        "1.mp4": f"worker: {DIED}",
        "2.mp4": None,
    }
    assert rows["1.mp4"].errors == {"worker": DIED}
    assert all("brightness" in rows[name].scores for name in ("0.mp4", "2.mp4"))
    with tarfile.open(out / "shards" / "00000.tar") as tar:
        assert sorted(Path(name).suffix for name in tar.getnames()) == [".json", ".json", ".mp4", ".mp4"]
    page = (out / "report.html").read_text()
    assert "1.mp4" in page
    assert DIED in page
    assert json.loads((out / "run.json").read_text())["num_kept"] == 2

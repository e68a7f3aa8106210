"""Every stage that looks at pixels alone gets through all of FFmpeg's generators, codecs and containers."""

import json
import math
import tarfile
from pathlib import Path

import numpy as np
import pytest

from rufous.data.clip import Clip
from rufous.data.clip_shards import write_clip_shards
from rufous.data.engine import curate
from rufous.data.executor import InlineExecutor
from rufous.data.journal import Journal
from rufous.data.stage import Stage
from rufous.data.stages.borders import Borders
from rufous.data.stages.camera import Camera
from rufous.data.stages.cut import Cut
from rufous.data.stages.duplicates import Duplicates
from rufous.data.stages.fingerprint import Fingerprint
from rufous.data.stages.flashing import Flashing
from rufous.data.stages.flow import Flow
from rufous.data.stages.probe import Probe
from rufous.data.stages.shots import Shots
from rufous.data.stages.smoothness import Smoothness
from rufous.data.stages.still import Still
from rufous.data.stages.technical import Technical
from rufous.data.stages.text_area import TextArea
from rufous.data.stages.watermark import Watermark
from rufous.video import probe
from tests.data.drawings import clip_of
from tests.data.real_input import CASES, Case, can_write, write_case

LOOKING: tuple[Stage, ...] = (
    *(Fingerprint(), Borders(), Still(), Flashing(), Technical(), Flow(), Smoothness(), Camera()),
    Watermark(),
)
SCORES = frozenset({"borders", "still", "flashing", "technical", "flow", "smoothness", "watermark"})


def written(case: Case, folder: Path) -> Path:
    if not can_write(case):
        pytest.skip(f"this FFmpeg cannot encode {case.codec} or {case.sound}")
    return write_case(case, folder)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_all_stages_get_through(case, tmp_path):
    path = written(case, tmp_path)
    cut = Cut(folder=str(tmp_path / "out"))
    (film,) = Probe().process(clip_of(path))
    assert (film.dropped, film.info["num_frames"], film.info["file_num_frames"]) == (None, 30, 30)
    assert film.info["is_variable_fps"] == case.is_variable
    assert film.frames().decoded.damaged == (), "a sound file was taken for a damaged one"
    shots = Shots(min_s=0.0).process(film)
    for clip in shots:
        for stage in (*LOOKING, cut):
            (clip,) = stage.process(clip)
        assert (clip.dropped, clip.errors) == (None, {})
        assert all(math.isfinite(score) for score in clip.scores.values())
        assert set(clip.scores) >= SCORES
        assert 0 <= clip.scores["technical"] <= 1
        assert clip.tags["camera_motion"]
        assert probe(tmp_path / "out" / clip.info["cut_file"]).num_frames == len(clip.frames().frame_numbers)
        assert Duplicates().process_all([clip])[0].scores["duplicates"] == 0.0
    starts = [clip.start_s for clip in shots]
    assert starts == sorted(starts)
    if case.source == "edited":
        assert np.any([abs(start * 24 - 20) < 3 for start in starts]), "the cut at two thirds was not found"


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_text_is_looked_for_in_all_of_them(case, tmp_path):
    (clip,) = TextArea().process(clip_of(written(case, tmp_path)))
    assert 0.0 <= clip.scores["text_area"] <= 1.0


@pytest.mark.slow
def test_one_run_takes_all_of_them_into_shards(tmp_path):
    videos = tmp_path / "videos"
    videos.mkdir()
    sources = [write_case(case, videos).name for case in CASES if can_write(case)]
    journal, executor = Journal(tmp_path / "journal.jsonl"), InlineExecutor()
    try:
        curated = curate(
            [Clip(source=source) for source in sources],
            [Probe(), Shots(min_s=0.0), *LOOKING, Duplicates()],
            root=videos,
            executor=executor,
            journal=journal,
        )
    finally:
        journal.close()
    assert {clip.source for clip in curated.clips} == set(sources)
    assert not [clip.errors for clip in curated.clips if clip.errors]
    for clip in curated.clips:
        assert clip.dropped is None or clip.dropped.startswith("duplicates: "), clip.source
    shards = write_clip_shards(
        tmp_path / "shards", curated.kept, root=videos, executor=executor, clips_a_shard=8
    )
    assert (shards.num_clips, shards.failed) == (len(curated.kept), {})
    for tar in sorted((tmp_path / "shards").glob("*.tar")):
        with tarfile.open(tar) as archive:
            archive.extractall(tmp_path / "out", filter="data")
    for clip in curated.kept:
        row = json.loads((tmp_path / "out" / f"{clip.key}.json").read_text())
        (film,) = (tmp_path / "out").glob(f"{clip.key}.m[pk][4v]")
        assert probe(film).num_frames == row["info_num_frames"] == clip.info["num_frames"]


def test_the_technical_score_falls_with_crf_from_film_to_film(tmp_path):
    scores = []
    for crf in (12, 32, 48):
        case = Case(f"{crf}.mp4", "mandelbrot", options={"crf": str(crf)})
        (clip,) = Probe().process(clip_of(written(case, tmp_path)))
        for stage in LOOKING:
            (clip,) = stage.process(clip)
        assert set(clip.scores) >= SCORES
        scores.append(clip.scores["technical"])
    assert scores == sorted(scores, reverse=True)

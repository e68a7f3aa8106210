import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from rufous.core.errors import ConfigError, MissingDependencyError
from rufous.core.files import sha256_of
from rufous.data import engine, media
from rufous.data.chain import ChainWork
from rufous.data.clip import Clip
from rufous.data.clip_shards import write_clip_shards
from rufous.data.engine import Curated, Progress
from rufous.data.executor import DIED, Failure, InlineExecutor
from rufous.data.filters import Filter
from rufous.data.journal import Journal
from rufous.data.local_executor import LocalExecutor
from rufous.data.manifest import write_manifest
from rufous.data.stages.probe import Probe
from tests.data.small_stages import (
    AfterRank,
    Brightness,
    Contrast,
    Halves,
    Mine,
    Rank,
    Shatter,
    Trouble,
    notes,
)


@dataclass(frozen=True)
class Backwards:
    """Another order of results, and a death at some file."""

    dies_at: str = ""

    def has_gpu_workers(self) -> bool:
        return False

    def run(self, tasks, work, *, needs_gpu=False):
        for task in reversed(list(tasks)):
            dies = task.clip.source == self.dies_at
            yield task, Failure(reason=DIED) if dies else work(task)

    def close(self) -> None:
        pass


class OnceCut(Halves):
    """Cuts at 0.5 s what goes over that."""

    def process(self, clip: Clip) -> list[Clip]:
        return [clip] if clip.start_s else [replace(clip, end_s=0.5), replace(clip, start_s=0.5)]


@pytest.fixture
def curate(tmp_path, write_clip):
    """A run over four clips, one of which cannot be read."""
    for i in range(3):
        write_clip(f"{i}.mkv", grey=60 * (i + 1))
    (tmp_path / "videos" / "x.mp4").touch()

    def run(*steps, clips=None, executor: Any = None, **changes) -> Curated:
        journal = Journal(tmp_path / "journal.jsonl")
        sources = ("0.mkv", "1.mkv", "2.mkv", "x.mp4")
        try:
            return engine.curate(
                clips or [Clip(source=source) for source in sources],
                steps,
                root=tmp_path / "videos",
                executor=executor or InlineExecutor(),
                journal=journal,
                **changes,
            )
        finally:
            journal.close()

    return run


def test_clips_are_measured_and_filtered_in_order(curate):
    curated = curate(Probe(), Brightness(), Filter(value="brightness", min=60.0), Contrast())
    assert [clip.source for clip in curated.clips] == ["0.mkv", "1.mkv", "2.mkv", "x.mp4"]
    assert [clip.source for clip in curated.kept] == ["1.mkv", "2.mkv"]
    assert curated.clips[0].dropped is not None
    assert curated.clips[0].dropped.startswith("brightness>=60: 4")
    assert curated.clips[3].dropped == "probe: empty file"
    assert ["contrast" in clip.scores for clip in curated.clips] == [False, True, True, False]
    (outcome,) = curated.filters
    assert (outcome.num_alone, outcome.num_in_order, outcome.num_left) == (1, 1, 2)
    assert (curated.num_worked_on, curated.num_known) == (4 + 2, 0)
    assert set(curated.stage_seconds) == {"probe", "brightness", "contrast"}


def test_the_same_run_again_does_nothing(curate, tmp_path):
    log = str(tmp_path / "log")
    steps = (Probe(), Brightness(log=log), Filter(value="brightness", min=60.0), Contrast(log=log))
    first = curate(*steps)
    assert len(notes(tmp_path / "log")) == 5
    again = curate(*steps)
    assert (again.clips, notes(tmp_path / "log")) == (first.clips, [])
    assert (again.num_worked_on, again.num_known) == (0, 6)


def test_what_clips_bring_stays_and_is_no_result_for_clips_that_bring_nothing(curate, tmp_path):
    bare, anew = Clip(source="0.mkv"), Brightness(log=str(tmp_path / "log"))
    (measured,) = curate(Probe(), Brightness(), clips=[bare]).clips
    (again,) = curate(Probe(), anew, clips=[measured.with_scores(match=3.0)]).clips
    assert again.scores == {**measured.scores, "match": 3.0}
    assert curate(Probe(), anew, clips=[bare]).clips == (measured,)  # the one before changed nothing
    assert len(notes(tmp_path / "log")) == 2


def test_other_filters_measure_nothing_again(curate, tmp_path):
    log = str(tmp_path / "log")
    curate(Probe(), Brightness(log=log), Filter(value="brightness", min=60.0))
    notes(tmp_path / "log")
    curated = curate(Probe(), Brightness(log=log), Filter(value="brightness", max=60.0))
    assert ([clip.source for clip in curated.kept], notes(tmp_path / "log")) == (["0.mkv"], [])


def test_a_stage_is_done_again_on_request_with_what_reads_it(curate, tmp_path):
    log = str(tmp_path / "log")
    steps = (Probe(), Brightness(log=log), Contrast(log=log), Trouble(log=log))
    first = curate(*steps)
    notes(tmp_path / "log")
    assert curate(*steps, redo=["brightness"]).clips == first.clips
    told = notes(tmp_path / "log")
    assert {line.split()[0] for line in told} == {"brightness", "contrast"}
    assert len(told) == 6
    assert curate(*steps, redo=["contrast"]).num_known == 1  # the file that cannot be read
    assert len(notes(tmp_path / "log")) == 3
    curate(*steps)
    assert notes(tmp_path / "log") == []
    with pytest.raises(ConfigError, match="no stage of this run is named 'colour': it has probe, brightness"):
        curate(*steps, redo=["colour"])


def test_a_new_file_is_all_that_is_done(curate, write_clip, tmp_path):
    log = str(tmp_path / "log")
    curate(Probe(), Brightness(log=log))
    notes(tmp_path / "log")
    write_clip("3.mkv", grey=10)
    clips = [Clip(source=f"{i}.mkv") for i in range(4)]
    assert len(curate(Probe(), Brightness(log=log), clips=clips).kept) == 4
    assert notes(tmp_path / "log") == ["brightness 3.mkv 0"]


def test_a_moved_or_touched_file_is_known_by_its_bytes(curate, tmp_path):
    log = str(tmp_path / "log")
    before = curate(Probe(), Brightness(log=log))
    notes(tmp_path / "log")
    videos = tmp_path / "videos"
    (videos / "new").mkdir()
    (videos / "0.mkv").rename(videos / "new" / "moved.mkv")
    (videos / "1.mkv").write_bytes((videos / "1.mkv").read_bytes())
    clips = [Clip(source=source) for source in ("1.mkv", "2.mkv", "new/moved.mkv")]
    after = curate(Probe(), Brightness(log=log), clips=clips)
    assert notes(tmp_path / "log") == []
    assert after.clips[-1].scores == before.clips[0].scores
    assert after.clips[-1].content_id == before.clips[0].content_id


def test_the_order_of_results_does_not_show(curate, tmp_path):
    steps = (Probe(), Halves(), Brightness(), Rank(), Filter(value="rank", min=1.0))
    first = curate(*steps, executor=Backwards())
    (tmp_path / "journal.jsonl").unlink()
    assert curate(*steps).clips == first.clips
    assert [clip.start_s for clip in first.clips] == [0.0, 0.5] * 3 + [0.0]


def test_a_set_stage_sees_all_that_are_kept_and_what_is_after_it_follows_it(curate, write_clip, tmp_path):
    log = str(tmp_path / "log")
    steps = (Probe(), Brightness(), Rank(), AfterRank(log=log))
    curated = curate(*steps)
    assert [clip.scores.get("after_rank") for clip in curated.clips] == [0.0, 2.0, 4.0, None]
    assert len(notes(tmp_path / "log")) == 3
    curate(*steps)
    assert notes(tmp_path / "log") == []
    write_clip("3.mkv", grey=90)  # between the first two: their ranks move, and that of the first does not
    curated = curate(*steps, clips=[Clip(source=f"{i}.mkv") for i in range(4)])
    assert [clip.scores["after_rank"] for clip in curated.clips] == [0.0, 4.0, 6.0, 2.0]
    assert notes(tmp_path / "log") == [f"after_rank {i}.mkv" for i in (1, 2, 3)]


def test_a_dry_run_measures_all_and_drops_nothing(curate):
    steps = (Probe(), Brightness(), Filter(value="brightness", min=60.0))
    second = Filter(value="contrast", min_percentile=50.0)
    curated = curate(*steps, Contrast(), second, Trouble(), is_dry_run=True)
    assert len(curated.kept) == 3
    assert [each.num_alone for each in curated.filters] == [1, 1]
    assert all("contrast" in clip.scores and "trouble" not in clip.tags for clip in curated.kept)


@pytest.mark.parametrize(
    "steps",
    [
        (Filter(value="brightness", min_percentile=10.0),),
        (Rank(), Filter(value="rank", min=1.0)),
        (Contrast(), Filter(value="contrast", max=1.0)),
    ],
)
def test_a_dry_run_foretells_a_real_one(steps, curate):
    steps = (Probe(), Brightness(), Filter(value="brightness", min=60.0), *steps)
    dry, real = (curate(*steps, is_dry_run=is_dry_run) for is_dry_run in (True, False))
    for one, other in zip(dry.filters, real.filters, strict=True):
        assert (one.limits, one.num_in_order, one.num_left) == (
            other.limits,
            other.num_in_order,
            other.num_left,
        )
    assert real.filters[-1].num_left == len(real.kept)
    if steps[-1] == Filter(value="contrast", max=1.0):
        assert [each.filters[-1].num_alone for each in (dry, real)] == [0, 0]


def test_a_filter_whose_value_nothing_found_drops_nothing(curate):
    steps = (Probe(), Contrast(), Filter(value="contrast", min=1.0))
    with pytest.raises(ConfigError, match=r"drop all 3 clips .* \(contrast: brightness was not measured\)"):
        curate(*steps)
    assert curate(*steps, is_dry_run=True).filters[0].num_in_order == 3


def test_a_death_costs_its_clip_and_is_tried_again(curate, tmp_path):
    curated = curate(Probe(), Brightness(), executor=Backwards(dies_at="1.mkv"))
    lost = curated.clips[1]
    assert (lost.dropped, lost.errors) == (f"worker: {DIED}", {"worker": DIED})
    assert len(curated.kept) == 2
    again = curate(Probe(), Brightness())
    assert (len(again.kept), again.num_worked_on) == (3, 1)


def test_what_was_done_before_an_interruption_is_kept(curate, tmp_path):
    log = str(tmp_path / "log")

    def stop(progress: Progress) -> None:
        if progress.num_done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        curate(Probe(), Brightness(log=log), on_progress=stop)
    assert len(notes(tmp_path / "log")) == 2
    curated = curate(Probe(), Brightness(log=log))
    assert (curated.num_known, notes(tmp_path / "log")) == (2, ["brightness 2.mkv 0"])


def test_progress_tells_how_far_how_fast_and_how_long(curate):
    told: list[Progress] = []
    curate(Probe(), Brightness(), on_progress=told.append)
    assert [each.num_done for each in told] == [1, 2, 3, 4]
    assert told[0].stages == ("probe", "brightness")
    assert told[0].eta_s == pytest.approx(3 / told[0].clips_per_s)
    assert told[-1].eta_s == 0.0
    told.clear()
    curate(Probe(), Brightness(), on_progress=told.append)
    assert [(each.num_known, each.eta_s) for each in told] == [(i, None) for i in (1, 2, 3, 4)]


def test_stages_for_a_gpu_have_a_pass_of_their_own_where_there_are_such_workers(curate):
    passes = []

    @dataclass(frozen=True)
    class Told(InlineExecutor):
        is_apart: bool = True

        def has_gpu_workers(self) -> bool:
            return self.is_apart

        def run(self, tasks, work, *, needs_gpu=False):
            passes.append((tuple(stage.name for stage in work.chain.stages), needs_gpu))
            yield from super().run(tasks, work)

    class OnGpu(Trouble):
        needs_gpu = True

    steps = (Probe(), OnGpu(), Brightness())
    apart = curate(*steps, executor=Told())
    assert passes == [(("probe",), False), (("trouble",), True), (("brightness",), False)]
    passes.clear()
    together = curate(*steps, executor=Told(is_apart=False))
    assert passes == [(("probe", "trouble", "brightness"), True)]
    assert (together.clips, together.num_worked_on) == (apart.clips, 0)


@dataclass(frozen=True, kw_only=True)
class Few(Brightness):
    """Looks at full-size frames alone."""

    name = "few"
    reads_few: ClassVar[bool] = True

    def process(self, clip: Clip) -> list[Clip]:
        return [clip.with_scores(few=float(clip.frames().full.mean()))]


def test_a_pass_of_stages_that_read_few_frames_decodes_no_others(curate, write_clip, monkeypatch):
    asked, decode = [], media.stream_frames

    def told(timeline, indices, **settings):
        asked.append(len(indices))
        return decode(timeline, indices, **settings)

    monkeypatch.setattr("rufous.data.media.stream_frames", told)
    write_clip("long.mkv", num_frames=24)
    clips = [Clip(source="long.mkv")]
    steps = (Probe(), Brightness(), Filter(value="brightness", min=1.0), Few())
    (apart,) = curate(*steps, clips=clips).clips
    assert asked == [24, 8]
    (together,) = curate(Probe(), Brightness(), Few(), clips=clips, redo=["brightness", "few"]).clips
    assert asked == [24, 8, 24]
    assert together.scores == apart.scores


def test_a_clip_for_which_a_gpu_has_no_memory_is_kept_and_tried_again(curate, write_clip, tmp_path):
    log = str(tmp_path / "log")
    write_clip("gpu.mkv")
    for _ in range(2):
        (clip,) = curate(Probe(), Trouble(log=log), clips=[Clip(source="gpu.mkv")]).clips
        assert clip.dropped is None
        assert clip.errors == {
            "trouble": "the GPU is out of memory: CUDA out of memory. Tried to allocate 2.00 GiB."
        }
        assert notes(tmp_path / "log") == ["trouble gpu.mkv"]


def test_a_missing_package_ends_the_run_with_its_line(curate, write_clip):
    write_clip("package.mkv")
    with pytest.raises(MissingDependencyError, match="pip install"):
        curate(Probe(), Trouble(), clips=[Clip(source="package.mkv")])


def test_two_clips_at_one_place_are_refused(curate):
    with pytest.raises(ValueError, match=r"two clips begin at 0.0 s of a.mp4"):
        curate(Probe(), clips=[Clip(source="a.mp4"), Clip(source="a.mp4", end_s=2.0)])


def test_a_set_stage_that_loses_clips_is_refused(curate):
    class Loses(Rank):
        def process_all(self, clips):
            return list(clips)[1:]

    with pytest.raises(ValueError, match="the stage rank gave other clips than it got"):
        curate(Probe(), Brightness(), Loses())


def test_a_changed_file_is_another_clip(curate, write_clip, tmp_path):
    log = str(tmp_path / "log")
    first = curate(Probe(), Brightness(log=log))
    notes(tmp_path / "log")
    path = write_clip("0.mkv", grey=200)
    second = curate(Probe(), Brightness(log=log))
    assert notes(tmp_path / "log") == [f"brightness {Path(path).name} 0"]
    assert second.clips[0].scores["brightness"] > first.clips[0].scores["brightness"] + 50


@pytest.mark.slow
def test_a_death_in_one_piece_of_a_film_costs_that_piece(curate, write_clip, tmp_path):
    write_clip("film.mkv", num_frames=8, fps=8)
    fuse = tmp_path / "fuse"
    fuse.touch()
    steps = (Probe(), Shatter(), Brightness(), Mine(at_s=0.5, fuse=str(fuse)))
    film, workers = [Clip(source="film.mkv")], LocalExecutor(num_workers=2)
    first = curate(*steps, clips=film, executor=workers)
    assert [clip.start_s for clip in first.clips] == [0.0, 0.25, 0.5, 0.75]
    assert [clip.dropped for clip in first.clips] == [None, None, f"worker: {DIED}", None]
    fuse.unlink()
    again = curate(*steps, clips=film, executor=workers)
    assert (len(again.kept), again.num_worked_on, again.num_known) == (4, 1, 3)


def test_pieces_are_kept_one_by_one(curate, write_clip, tmp_path):
    write_clip("film.mkv", num_frames=8, fps=8)
    log, film = str(tmp_path / "log"), [Clip(source="film.mkv")]
    steps = (Probe(), Shatter(), Brightness(log=log))
    told: list[Progress] = []

    def stop(progress: Progress) -> None:
        told.append(progress)
        if progress.num_done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        curate(*steps, clips=film, on_progress=stop)
    assert [(each.num_done, each.num_clips) for each in told] == [(0, 4), (1, 4), (2, 4)]
    assert notes(tmp_path / "log") == ["brightness film.mkv 0", "brightness film.mkv 0.25"]
    curated = curate(*steps, clips=film)
    assert (curated.num_known, curated.num_worked_on, len(notes(tmp_path / "log"))) == (2, 2, 2)


def test_overlapping_clips_that_are_cut_alike_are_one_row(curate, write_clip, tmp_path):
    write_clip("film.mkv", num_frames=8, fps=8)
    whole = Clip(source="film.mkv", end_s=1.0, captions={"original": "A film."})
    part = Clip(source="film.mkv", start_s=0.5, end_s=1.0, captions={"original": "A part."})
    manifests = []
    for executor in (InlineExecutor(), Backwards()):
        curated = curate(Probe(), OnceCut(), clips=[whole, part], executor=executor)
        assert [clip.place[1:] for clip in curated.clips] == [(0.0, 0.5), (0.5, 1.0)]
        manifests.append(write_manifest(tmp_path / "m.parquet", curated.clips).read_bytes())
        (tmp_path / "journal.jsonl").unlink()
    assert manifests[0] == manifests[1]
    packed = write_clip_shards(
        tmp_path / "shards", curated.kept, root=tmp_path / "videos", executor=InlineExecutor()
    )
    assert (packed.num_clips, packed.failed) == (2, {})


def test_clips_of_one_file_read_it_once_and_only_in_workers(curate, write_clip, monkeypatch):
    path = write_clip("film.mkv", num_frames=8, fps=8)
    read, where = [], []
    monkeypatch.setattr("rufous.core.files.sha256_of", lambda path: read.append(path) or sha256_of(path))
    real = ChainWork.__call__
    monkeypatch.setattr(ChainWork, "__call__", lambda *of: where.append(len(read)) or real(*of))
    segments = [Clip(source="film.mkv", start_s=i / 8, end_s=(i + 1) / 8) for i in range(8)]
    for asked in (segments[:4], segments):  # the second run knows a file of that size
        path.touch()
        read.clear()
        where.clear()
        assert len(curate(Probe(), Brightness(), clips=asked).kept) == len(asked)
        assert read == [path]
        assert where[0] == 0


MEMORY = """
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from rufous.core.devices import peak_resident_bytes
from rufous.data import engine
from rufous.data.clip import Clip
from rufous.data.executor import InlineExecutor
from rufous.data.journal import Journal
from rufous.data.local_executor import LocalExecutor
from rufous.data.manifest import write_manifest
from tests.data.small_stages import Brightness

class Measures(Brightness):
    def process(self, clip):
        clip = clip.with_scores(**{f"score_{i}": clip.start_s + i for i in range(40)})
        clip = clip.with_tags(fingerprint=f"{clip.start_s:4000.1f}")
        return [clip.with_captions(described=f"{clip.start_s:300.1f}")]

def curated(num_clips, folder):
    clips = [Clip(source=f"{i % 10}.mkv", start_s=float(i)) for i in range(num_clips)]
    for num_known in (0, num_clips):
        journal = Journal(folder / f"{num_clips}.jsonl")
        found = engine.curate(clips, [Measures()], root=folder, executor=InlineExecutor(), journal=journal)
        journal.close()
        assert found.num_known == num_known
    write_manifest(folder / "manifest.parquet", found.clips)
    return peak_resident_bytes()

folder = Path(sys.argv[1])
before = curated(100, folder)
print(curated(10_000, folder) - before)
"""


@pytest.mark.slow
def test_ten_thousand_clips_take_little_memory(tmp_path):
    """Rows with their scores and fingerprints, journal and manifest, in a process of its own; no frames."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    grown_mb = int(done.stdout) / 1024**2
    assert 10 < grown_mb < 300

import json
import os
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from threadpoolctl import threadpool_info

from rufous.evaluation import measuring
from rufous.evaluation.dimensions.decoded_clip import DecodedClip
from rufous.evaluation.dimensions.dimension import ClipScore, Label
from rufous.evaluation.dimensions.object_class import ObjectClass
from rufous.evaluation.dimensions.temporal_flickering import TemporalFlickering
from rufous.evaluation.dimensions.world import WorldMotion, WorldTruth
from rufous.evaluation.measuring import MeasureStore, applies, measure_clips
from rufous.evaluation.vbench.suite import ClipFile
from rufous.video import write_video
from rufous.world import WorldClips

WORLD = WorldClips(seed=8, complete_captions=True)
ROWS = {
    "temporal_flickering": TemporalFlickering(),
    "world_truth": WorldTruth(),
    "world_motion": WorldMotion(),
}


@dataclass(frozen=True)
class Broken:
    """A row whose network overflowed."""

    name: str = "broken"
    label: str = "proxy"
    needs: ClassVar[str | None] = None
    version: ClassVar[int] = 1

    def measure(self, clip: DecodedClip) -> ClipScore:
        return ClipScore(value=float("nan"))


@dataclass(frozen=True)
class Failing:
    """A row that fails on one prompt as a network does, or takes its whole process with it."""

    prompt: str
    error: str = ""
    name: str = "failing"
    label: str = "proxy"
    needs: ClassVar[str | None] = None
    version: ClassVar[int] = 1

    def measure(self, clip: DecodedClip) -> ClipScore:
        if clip.prompt != self.prompt:
            return ClipScore(value=1.0)
        if self.error == "memory":
            raise MemoryError
        if self.error:
            raise RuntimeError(self.error)
        os._exit(9)


@dataclass(frozen=True, eq=False)
class ManyTensors:
    """A row whose network has many weights."""

    weights: tuple[torch.Tensor, ...]
    name: str = "many_tensors"
    label: str = "proxy"
    needs: ClassVar[str | None] = None
    version: ClassVar[int] = 1

    def measure(self, clip: DecodedClip) -> ClipScore:
        return ClipScore(value=float(sum(self.weights)))


def measure_with_few_open_files(folder: str) -> None:
    """Six clips on two processes that may open 160 files; the row's 100 weights are open files each."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (160, 160))
    clips = [ClipFile(path=path, prompt="x") for path in sorted(Path(folder).iterdir()) * 2]
    row = ManyTensors(tuple(torch.ones(1) for _ in range(100)))
    measured = measure_clips(clips, {"many_tensors": row}, num_processes=2)
    assert [each.scores["many_tensors"].value for each in measured] == [100.0] * len(clips)


@pytest.fixture
def clips(tmp_path: Path) -> list[ClipFile]:
    """Three clips of the world."""
    found = []
    for index in range(3):
        clip = WORLD[index]
        path = write_video(tmp_path / "clips" / f"{index}.mp4", clip.frames, fps=clip.fps, crf=12)
        found.append(ClipFile(path=path, prompt=clip.caption, index=0))
    return found


def test_every_clip_is_decoded_once_for_all_rows(clips, monkeypatch):
    opened = []
    read = measuring.read_clip
    monkeypatch.setattr(
        measuring, "read_clip", lambda path, **told: opened.append(path) or read(path, **told)
    )
    measured = measure_clips(clips, ROWS)
    assert opened == [clip.path for clip in clips]
    assert [set(each.scores) for each in measured] == [set(ROWS)] * 3
    assert sum(each.scores["world_truth"].value for each in measured) >= 2
    assert not any(each.problems for each in measured)


def test_what_was_measured_is_not_measured_again(clips, tmp_path, monkeypatch):
    path = tmp_path / "measures.jsonl"
    first = measure_clips(clips[:2], ROWS, store=MeasureStore(path, identities={}))
    with path.open("a") as file:
        file.write('{"key": "cut o')
    monkeypatch.setattr(measuring, "read_clip", lambda *_, **__: pytest.fail("read again"))
    again = measure_clips(clips[:2], ROWS, store=MeasureStore(path, identities={}))
    assert [each.scores for each in again] == [each.scores for each in first]
    lines = [json.loads(line) for line in path.read_text().splitlines()[:-1]]
    assert [(line["file"], line["row"]) for line in lines] == [
        (f"{i}.mp4", row) for i in (0, 1) for row in ROWS
    ]


def test_what_follows_a_line_that_was_cut_off_is_kept(clips, tmp_path):
    path, row = tmp_path / "measures.jsonl", {"temporal_flickering": TemporalFlickering()}
    path.write_text('{"key": "cut o')
    [measured] = measure_clips(clips[:1], row, store=MeasureStore(path, identities={}))
    again = MeasureStore(path, identities={})
    assert again.known(measured.sha256, clips[0], "temporal_flickering") is not None
    again.keep(measured.sha256, clips[0], {"x": ClipScore(value=0.5)})
    assert len(path.read_text().splitlines()) == 3


def test_another_row_network_prompt_or_clip_is_measured_anew(clips, tmp_path):
    path, row = tmp_path / "measures.jsonl", {"temporal_flickering": TemporalFlickering()}
    store = MeasureStore(path, identities={"temporal_flickering": "v1"})
    [measured] = measure_clips(clips[:1], row, store=store)
    known = store.known(measured.sha256, clips[0], "temporal_flickering")
    assert known == measured.scores["temporal_flickering"]
    other_prompt = ClipFile(path=clips[0].path, prompt="something else", index=0)
    assert store.known(measured.sha256, other_prompt, "temporal_flickering") is None
    assert store.known(measured.sha256, clips[0], "world_truth") is None
    assert store.known("0" * 64, clips[0], "temporal_flickering") is None
    other_network = MeasureStore(path, identities={"temporal_flickering": "v2"})
    assert other_network.known(measured.sha256, clips[0], "temporal_flickering") is None


def test_what_is_wrong_with_a_clip_is_told_and_the_run_goes_on(clips, tmp_path):
    (tmp_path / "clips" / "empty.mp4").write_bytes(b"")
    (tmp_path / "clips" / "text.mp4").write_text("no video at all")
    write_video(tmp_path / "clips" / "one.mp4", torch.zeros(1, 3, 32, 32, dtype=torch.uint8), fps=8.0)
    bad = [ClipFile(path=tmp_path / "clips" / f"{name}.mp4", prompt="x") for name in ("empty", "text", "one")]
    measured = measure_clips([*bad, clips[0]], {**ROWS, "broken": Broken()})
    told = [[(problem.file, problem.reason) for problem in each.problems] for each in measured]
    assert told[0] == [("empty.mp4", "empty file")]
    assert told[1][0][0] == "text.mp4"
    assert "text file" in told[1][0][1] or "not a video" in told[1][0][1]
    assert [reason.split(":")[0] for _, reason in told[2]] == [
        "temporal_flickering",
        "world_motion",
        "broken",
    ]
    assert told[3] == [("0.mp4", "broken: the score is NaN or infinite: the weights or the clip are damaged")]
    assert set(measured[3].scores) == set(ROWS)


@pytest.mark.parametrize(
    ("error", "told"),
    [("CUDA out of\nmemory", "failing: CUDA out of memory"), ("memory", "failing: MemoryError")],
)
def test_a_row_that_fails_on_a_clip_costs_that_measure_alone(error, told, clips):
    failing = Failing(prompt=clips[1].prompt, error=error)
    measured = measure_clips(clips, {"temporal_flickering": TemporalFlickering(), "failing": failing})
    assert [[problem.reason for problem in each.problems] for each in measured] == [[], [told], []]
    assert all("temporal_flickering" in each.scores for each in measured)


def test_what_cannot_be_decoded_for_lack_of_memory_is_told(clips, monkeypatch):
    def read(path, **told):
        raise MemoryError

    monkeypatch.setattr(measuring, "read_clip", read)
    [measured] = measure_clips(clips[:1], ROWS)
    assert [(problem.file, problem.reason) for problem in measured.problems] == [("0.mp4", "MemoryError")]


def test_links_to_nowhere_and_folders_are_told_by_name(clips, tmp_path):
    (tmp_path / "clips" / "link.mp4").symlink_to(tmp_path / "nowhere.mp4")
    (tmp_path / "clips" / "folder.mp4").mkdir()
    bad = [ClipFile(path=tmp_path / "clips" / f"{name}.mp4", prompt="x") for name in ("link", "folder")]
    store = MeasureStore(tmp_path / "measures.jsonl", identities={})
    measured = measure_clips([*bad, clips[0]], ROWS, store=store)
    assert [[(p.file, p.reason) for p in each.problems] for each in measured] == [
        [("link.mp4", "No such file or directory")],
        [("folder.mp4", "Is a directory")],
        [],
    ]


def test_a_suite_says_which_rows_a_clip_is_for():
    row, detector = TemporalFlickering(), ObjectClass(detector=lambda frames: [])
    path = Path("x.mp4")
    free = ClipFile(path=path, prompt="x")
    bound = ClipFile(
        path=path, prompt="x", dimensions=("object_class",), auxiliary={"object_class": {"object": "dog"}}
    )
    assert applies("temporal_flickering", row, free)
    assert not applies("temporal_flickering", row, bound)
    assert applies("proxy_object_class", detector, bound)
    assert not applies("proxy_object_class", detector, free)
    assert applies("world_truth", WorldTruth(), bound)


@pytest.mark.slow
def test_two_processes_measure_the_same(clips):
    assert measure_clips(clips, ROWS, num_processes=2) == measure_clips(clips, ROWS)


@pytest.mark.slow
@dataclass(frozen=True)
class CountingThreads:
    """How many threads the busiest library of a process has."""

    name: str = "threads"
    label: Label = "exact"
    needs: ClassVar[str | None] = None
    version: ClassVar[int] = 1

    def measure(self, clip: DecodedClip) -> ClipScore:
        return ClipScore(value=float(max(pool["num_threads"] for pool in threadpool_info())))


def test_processes_that_measure_side_by_side_have_one_thread_each(clips):
    measured = measure_clips(clips, {"threads": CountingThreads()}, num_processes=2)
    assert {each.scores["threads"].value for each in measured} == {1.0}


def test_a_clip_that_ends_its_process_is_named_and_the_others_are_measured(clips):
    rows = {"temporal_flickering": TemporalFlickering(), "failing": Failing(prompt=clips[1].prompt)}
    measured = measure_clips(clips, rows, num_processes=2)
    assert [set(each.scores) for each in measured] == [set(rows), set(), set(rows)]
    [problem] = measured[1].problems
    assert problem.file == "1.mp4"
    assert "the process that measured it was ended" in problem.reason


@pytest.mark.slow
def test_what_was_under_way_when_it_was_stopped_is_kept(clips, tmp_path, monkeypatch):
    store, seen, of = MeasureStore(tmp_path / "measures.jsonl", identities={}), [], measuring.sha256_of

    def stopped(path: Path) -> str:
        seen.append(path)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return of(path)

    monkeypatch.setattr(measuring, "sha256_of", stopped)
    with pytest.raises(KeyboardInterrupt):
        measure_clips(clips, ROWS, store=store, num_processes=2)
    lines = [json.loads(line) for line in store.path.read_text().splitlines()]
    assert {line["file"] for line in lines} == {"0.mp4", "1.mp4"}


@pytest.mark.slow
def test_clips_are_handed_out_a_few_at_a_time(clips, monkeypatch):
    monkeypatch.setattr(measuring, "WAITING_A_PROCESS", 1)
    row = {"temporal_flickering": TemporalFlickering()}
    assert measure_clips([*clips, *clips], row, num_processes=2) == measure_clips([*clips, *clips], row)


@pytest.mark.slow
def test_networks_are_sent_once_to_a_process_and_not_with_every_clip(clips):
    code = f"from {__name__} import measure_with_few_open_files as f; f({str(clips[0].path.parent)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr

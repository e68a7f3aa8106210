"""A small cluster on this machine. Ray takes a while to start, so all of it is slow, and has a time limit."""

import importlib
import importlib.util
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from rufous.data import engine
from rufous.data.clip import Clip
from rufous.data.executor import DIED, Failure, InlineExecutor
from rufous.data.filters import Filter
from rufous.data.journal import Journal
from rufous.data.manifest import write_manifest
from rufous.data.ray_executor import RayExecutor
from rufous.data.stages.probe import Probe
from tests.data.small_stages import AfterRank, Brightness, FragileDecoder, Halves, Rank, mark_as_fatal
from tests.data.test_local_executor import MoreLater, Unpicklable, Work

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="the extra ray is not installed"
)
LIMITS = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def executor() -> Iterator[RayExecutor]:
    """Two workers; Ray's own warnings are not ours."""
    executor = RayExecutor(num_workers=2, timeout_s=60.0)
    yield executor
    executor.close()


def limited(test):
    """Slow, with a time limit: a cluster without room would wait for ever."""
    for mark in [needs_ray, *LIMITS]:
        test = mark(test)
    return test


@limited
def test_an_actor_that_dies_or_hangs_loses_its_task_alone(executor, tmp_path):
    tasks = ["a", "kill", "b", "abort", "c", "hang", "d"]
    outcomes = dict(executor.run(tasks, Work(str(tmp_path / "log"))))
    wrong = {task: outcome for task, outcome in outcomes.items() if isinstance(outcome, Failure)}
    assert wrong == {
        "kill": Failure(reason=DIED),
        "abort": Failure(reason=DIED),
        "hang": Failure(reason="it took more than 60 s"),
    }
    assert {outcomes[name] for name in "abcd"} == {f"{name} done" for name in "abcd"}
    assert len((tmp_path / "log").read_text().splitlines()) == len(tasks)  # each once


@limited
def test_tasks_that_a_result_brings_are_done(executor):
    told = MoreLater().results_of(executor, Work())
    assert (told[0], sorted(told[1:])) == ("film done", ["shot 1 done", "shot 2 done"])


@limited
def test_the_manifest_is_that_of_another_executor(executor, tmp_path, write_clip):
    for i in range(4):
        write_clip(f"{i}.mkv", grey=50 * (i + 1))
    (tmp_path / "videos" / "x.mp4").write_bytes(b"no video")
    clips = [Clip(source=f"{i}.mkv") for i in range(4)] + [Clip(source="x.mp4")]
    steps = (Probe(), Halves(), Brightness(), Rank(), Filter(value="rank", min=2.0), AfterRank())
    written = []
    for name, each in (("ray", executor), ("inline", InlineExecutor())):
        journal = Journal(tmp_path / f"{name}.jsonl")
        curated = engine.curate(
            clips, steps, root=tmp_path / "videos", executor=each, journal=journal, media=None
        )
        journal.close()
        assert curated.num_worked_on > 0
        written.append(write_manifest(tmp_path / f"{name}.parquet", curated.clips).read_bytes())
    assert written[0] == written[1]


@limited
def test_a_clip_on_which_the_decoder_segfaults_loses_its_row_alone(executor, tmp_path, write_clip):
    for i in range(4):
        write_clip(f"{i}.mp4", grey=50 * (i + 1))
    mark_as_fatal(tmp_path / "videos" / "2.mp4")
    clips = [Clip(source=f"{i}.mp4") for i in range(4)]
    with closing(Journal(tmp_path / "journal.jsonl")) as journal:
        curated = engine.curate(
            *(clips, (Probe(), FragileDecoder(), Brightness())),
            root=tmp_path / "videos",
            executor=executor,
            journal=journal,
        )
    assert [clip.dropped for clip in curated.clips] == [None, None, f"worker: {DIED}", None]
    assert ["brightness" in clip.scores for clip in curated.clips] == [True, True, False, True]


@dataclass(frozen=True)
class Seat:
    """Says which process does a task, and what Ray lent it."""

    log: str

    def __call__(self, task: str) -> tuple[str, ...]:
        ray = importlib.import_module("ray")
        with Path(self.log).open("a") as file:
            file.write(f"{os.getpid()}\n")
        return tuple(ray.get_runtime_context().get_accelerator_ids()["GPU"])


@pytest.fixture
def gpu_cluster(executor) -> Iterator[None]:
    """Three cores and a GPU, as Ray counts: it does not look whether there is one."""
    executor.close()
    ray = importlib.import_module("ray")
    ray.init(num_cpus=3, num_gpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


@limited
@pytest.mark.parametrize(("gpus_each", "num_actors"), [(0.5, 2), (1.0, 1)])
def test_work_for_a_gpu_has_actors_that_share_it(gpu_cluster, gpus_each, num_actors, tmp_path):
    executor = RayExecutor(num_workers=3, cpus_each=0.5, gpus_each=gpus_each, address="auto")
    assert executor.has_gpu_workers()
    log = tmp_path / "log"
    seats = dict(executor.run([f"{i}" for i in range(40)], Seat(str(log)), needs_gpu=True))
    assert set(seats.values()) == {("0",)}
    assert len(set(log.read_text().split())) <= num_actors
    assert set(dict(executor.run(["a", "b"], Seat(str(log)))).values()) == {()}


@limited
def test_stages_for_a_gpu_are_a_pass_of_their_own_with_the_same_manifest(gpu_cluster, tmp_path, write_clip):
    for i in range(3):
        write_clip(f"{i}.mkv", grey=50 * (i + 1))
    clips = [Clip(source=f"{i}.mkv") for i in range(3)]
    steps, written, passes = (Probe(), Brightness(), Rank(), AfterRank()), [], []
    for name, each in (("ray", RayExecutor(address="auto")), ("inline", InlineExecutor())):
        journal = Journal(tmp_path / f"{name}.jsonl")
        curated = engine.curate(
            *(clips, steps),
            root=tmp_path / "videos",
            executor=each,
            journal=journal,
            on_progress=lambda progress: passes.append(progress.stages),
        )
        journal.close()
        written.append(write_manifest(tmp_path / f"{name}.parquet", curated.clips).read_bytes())
    assert written[0] == written[1]
    assert len(curated.kept) == 3


@limited
@pytest.mark.parametrize(("settings", "size"), [({}, 6), ({"cpus_each": 1.0}, 3), ({"num_workers": 2}, 2)])
def test_workers_are_as_many_as_a_cluster_has_room_for(gpu_cluster, settings, size, monkeypatch):
    """Whatever the cores of the machine that asks."""
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    sizes = []

    def counted(*_, size, **__):
        sizes.append(size)
        raise StopIteration

    monkeypatch.setattr("rufous.data.ray_executor._Pool", counted)
    with pytest.raises(RuntimeError):
        list(RayExecutor(address="auto", **settings).run(["a"], Work()))
    assert sizes == [size]


@limited
def test_a_cluster_without_room_is_told(executor):
    executor.has_gpu_workers()  # the cluster is there: another one would have room
    big = RayExecutor(num_workers=1, cpus_each=1000.0)
    with pytest.raises(RuntimeError, match="too little for one worker of"):
        list(big.run(["a"], Work()))


@limited
def test_actors_that_do_not_come_up_end_the_run(executor):
    with pytest.raises(RuntimeError, match="a worker did not start"):
        list(executor.run(["a"], Unpicklable()))


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"num_workers": 0}, "num_workers=0 must be at least 1"),
        ({"num_workers": 1, "timeout_s": -1.0}, "timeout_s=-1.0 above 0"),
        ({"num_workers": 1, "gpus_each": 2.0}, "gpus_each=2.0 in"),
    ],
)
def test_settings_that_cannot_be_are_refused(values, told):
    with pytest.raises(ValueError, match=told):
        RayExecutor(**values)

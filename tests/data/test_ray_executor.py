"""A small cluster on this machine. Ray takes a while to start, so all of it is slow, and has a time limit."""

import importlib.util
from collections.abc import Iterator

import pytest

from rufous.data import engine
from rufous.data.clip import Clip
from rufous.data.executor import DIED, Failure, InlineExecutor
from rufous.data.filters import Filter
from rufous.data.journal import Journal
from rufous.data.manifest import write_manifest
from rufous.data.ray_executor import RayExecutor
from rufous.data.stages.probe import Probe
from tests.data.small_stages import AfterRank, Brightness, Halves, Rank
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
def test_a_cluster_without_room_is_told(executor):
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

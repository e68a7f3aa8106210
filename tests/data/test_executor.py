from rufous.data.executor import Executor, InlineExecutor, too_slow
from rufous.data.local_executor import LocalExecutor
from rufous.data.ray_executor import RayExecutor


def test_tasks_are_carried_out_in_order_as_they_are_drawn():
    drawn = []

    def tasks():
        for number in range(3):
            drawn.append(number)
            yield number

    outcomes = InlineExecutor().run(tasks(), lambda number: number * 10)
    assert next(outcomes) == (0, 0)
    assert drawn == [0]
    assert list(outcomes) == [(1, 10), (2, 20)]


def test_all_executors_are_alike():
    for executor in (InlineExecutor(), LocalExecutor(num_workers=1), RayExecutor(num_workers=1)):
        assert isinstance(executor, Executor)
    assert not InlineExecutor().has_gpu_workers()


def test_a_limit_is_told_in_seconds():
    assert too_slow(90.0).reason == "it took more than 90 s"

import os
import signal
import threading

import pytest

from rufous.training.stopping import SAME_REQUEST_S, StopRequest


@pytest.fixture(autouse=True)
def ctrl_c_is_heeded():
    """A shell starts what it runs in the background with Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_nothing_happened_means_no_reason():
    with StopRequest() as stop:
        assert stop.reason is None


def test_a_later_signal_acts_as_it_did_before(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("rufous.training.stopping.time.monotonic", lambda: now[0])
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.reason == "signal SIGINT"
        now[0] += SAME_REQUEST_S + 1
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_launcher_that_sends_the_signal_on_does_not_kill_what_is_being_saved():
    with StopRequest() as stop:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)
        assert stop.reason == "signal SIGTERM"
    assert stop.reason == "signal SIGTERM"


def test_the_time_limit_is_a_reason():
    with StopRequest(time_limit_s=1e-9) as stop:
        assert stop.reason == "time limit of 1e-09 s"


def test_another_thread_may_train_without_signals():
    reasons = []

    def work():
        with StopRequest() as stop:
            reasons.append(stop.reason)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert reasons == [None]

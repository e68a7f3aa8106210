import os
import signal
import threading

import pytest

from rufous.training.stopping import StopRequest


def test_nothing_happened_means_no_reason():
    with StopRequest() as stop:
        assert stop.reason is None


def test_a_second_signal_acts_as_it_did_before():
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.reason == "signal SIGINT"
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


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

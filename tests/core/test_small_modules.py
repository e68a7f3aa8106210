"""Modules of the ground floor that are too short for a file of their own: optional, randomness, console."""

import logging
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from rufous.core.console import logger, show_log
from rufous.core.errors import MissingDependencyError
from rufous.core.optional import missing_package, require
from rufous.core.randomness import generator_from
from rufous.core.threads import use_one_thread


def test_a_missing_extra_is_named_with_its_command():
    with pytest.raises(MissingDependencyError, match=r"pip install 'rufous\[lora\]'"):
        require("no_such_package_here", extra="lora")
    with pytest.raises(MissingDependencyError, match="pip install no-such-package"):
        require("no_such_package_here", package="no-such-package")
    assert require("json", extra="lora").dumps([1]) == "[1]"
    assert "pip install no-such-package" in (missing_package("no_such", package="no-such-package") or "")
    assert missing_package("json") is None


def test_streams_depend_on_seed_and_names_alone():
    first = torch.randn(4, generator=generator_from(1, "noise", 3))
    assert torch.equal(first, torch.randn(4, generator=generator_from(1, "noise", 3)))
    assert not torch.equal(first, torch.randn(4, generator=generator_from(1, "noise", 4)))
    assert not torch.equal(first, torch.randn(4, generator=generator_from(2, "noise", 3)))
    with pytest.raises(ValueError, match="seed=-1"):
        generator_from(-1)


def _thread_counts() -> list[int]:
    use_one_thread()
    np.ones((64, 64)) @ np.ones((64, 64))
    return [torch.get_num_threads(), *(int(pool["num_threads"]) for pool in threadpool_info())]


def test_a_process_that_shares_its_machine_computes_on_one_thread():
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        counts = pool.submit(_thread_counts).result()
    assert len(counts) > 1
    assert set(counts) == {1}


def test_the_log_goes_to_one_handler_on_stderr(capsys):
    root = logging.getLogger("rufous")
    before = (root.handlers[:], root.level, root.propagate)
    try:
        show_log()
        show_log(verbose=True)
        assert len(root.handlers) == 1
        logger("rufous.core").debug("hummingbird")
        captured = capsys.readouterr()
        assert captured.out == ""
        assert "hummingbird" in captured.err
    finally:
        root.handlers[:], root.level, root.propagate = before[0], before[1], before[2]

"""Threads of a process that shares its machine with others of its kind."""

import os

import torch


def use_one_thread() -> None:
    """From now on this process computes on one thread: where as many processes as cores work already.

    It holds for torch, for the BLAS of NumPy, and for OpenCV and what else is loaded later. Processes whose
    BLAS has a thread for each core get less done together than one does: small products wait for each other.
    """
    from threadpoolctl import threadpool_limits  # by those alone that share a machine: training does without

    torch.set_num_threads(1)
    threadpool_limits(limits=1)
    os.environ["OPENCV_FOR_THREADS_NUM"] = "1"  # read by OpenCV when it is loaded
    os.environ["OPENBLAS_NUM_THREADS"] = "1"

"""Benchmark: time, memory and operations of models on one machine, beside what the machine can do.

Nothing here knows pipelines or releases: a model is a ``Workload``, and who measures builds it.

* ``workload`` - what a loaded model does for one clip, and how it is timed.
* ``stage_memory`` - peak memory of each stage.
* ``rows`` - what is measured: releases and architectures, and the settings of their clips.
* ``lineup`` - the published line-up as architectures, and diffusers' pipelines of the same class.
* ``diffusers_models`` - diffusers' pipelines with random weights as workloads.
* ``flop_counter`` - operations of any torch code.
* ``machine`` - what a machine is, and its measured peak rates.
* ``children`` - a piece of work in a process of its own.
* ``results`` - all that was measured, and the figures that follow from it.
* ``report`` - results as a page and as a picture.
"""

from rufous.evaluation.benchmark.lineup import TABLE_2
from rufous.evaluation.benchmark.report import benchmark_page, benchmark_picture
from rufous.evaluation.benchmark.results import BenchmarkResults, RowFailure, RowResult
from rufous.evaluation.benchmark.workload import ClipPlan, Workload, measure

__all__ = [
    "TABLE_2",
    "BenchmarkResults",
    "ClipPlan",
    "RowFailure",
    "RowResult",
    "Workload",
    "benchmark_page",
    "benchmark_picture",
    "measure",
]

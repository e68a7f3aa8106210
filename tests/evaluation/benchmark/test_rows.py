"""Rows go to another process as JSON and come back the same."""

import json

import pytest

from rufous.checkpoints.kinds import DiffusionConfig
from rufous.core.config import from_json_dict, to_json_dict
from rufous.core.errors import ConfigError
from rufous.diffusion import SamplingConfig
from rufous.evaluation.benchmark.lineup import LINEUPS
from rufous.evaluation.benchmark.rows import BenchmarkRow, ClipSettings, DiffusersArchitecture, RowJob

ROWS = [*LINEUPS["table2"], BenchmarkRow(name="mine", model="folder", settings=ClipSettings(num_frames=26))]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_job_survives_its_way_through_json(row: BenchmarkRow):
    job = RowJob(row=row, device="cpu", dtype="bf16", num_runs=2, how="auto", limit_s=9.0, flop_per_s=1e9)
    again = from_json_dict(RowJob, json.loads(json.dumps(to_json_dict(job))))
    assert to_json_dict(again) == to_json_dict(job)
    assert type(again.row.model) is type(row.model)


def test_a_row_says_whose_its_weights_are():
    assert [row.weights for row in (ROWS[0], ROWS[5], ROWS[-1])] == [
        "random weights",
        "diffusers, random weights",
        "release",
    ]


def test_a_solver_that_diffusers_has_no_scheduler_for_is_refused():
    diffusion = DiffusionConfig(sampling=SamplingConfig(solver="euler"))
    with pytest.raises(ConfigError, match="solver='euler' has no scheduler here: use ddim or lcm"):
        DiffusersArchitecture(pipeline="TextToVideoSDPipeline", diffusion=diffusion)

"""Processor time of all rows without a model, decoding included: 60 clips a second on two cores are 33 ms."""

import time

import pytest

from rufous.evaluation.dimensions.rows import load_rows
from rufous.evaluation.measuring import measure_clips
from rufous.evaluation.vbench.suite import ClipFile
from rufous.video import write_video
from rufous.world import WorldClips

pytest.importorskip("av")
ROWS = ["temporal_flickering", "world_truth", "world_motion", "world_smoothness"]
LIMIT_S = 0.05
"""Half as much again as it should be, for shared cores and the checking of types."""


@pytest.mark.slow
def test_model_free_rows_measure_sixty_clips_a_second_on_two_cores(tmp_path):
    import torch

    clips, files = WorldClips(seed=5, level="full", height=128, width=128), []
    for index in range(28):
        clip = clips[index]
        path = write_video(tmp_path / f"{index}-0.mp4", clip.frames, fps=clip.fps)
        files.append(ClipFile(path=path, prompt=clip.caption))
    rows = {name: row.dimension for name, row in load_rows(ROWS, torch.device("cpu")).rows.items()}
    measure_clips(files[:4], rows)  # templates and the like are made once a process
    start = time.process_time()
    measured = measure_clips(files[4:], rows)
    seconds = (time.process_time() - start) / 24
    assert all(len(each.scores) == len(ROWS) for each in measured)
    assert seconds < LIMIT_S, f"{seconds * 1000:.0f} ms a clip"

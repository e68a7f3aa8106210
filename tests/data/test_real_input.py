"""Every stage that looks at pixels alone gets through all of FFmpeg's generators, codecs and containers."""

import math

import numpy as np
import pytest

from rufous.data.stage import Stage
from rufous.data.stages.borders import Borders
from rufous.data.stages.cut import Cut
from rufous.data.stages.duplicates import Duplicates
from rufous.data.stages.fingerprint import Fingerprint
from rufous.data.stages.flashing import Flashing
from rufous.data.stages.shots import Shots
from rufous.data.stages.still import Still
from rufous.data.stages.technical import Technical
from rufous.video import probe
from tests.data.drawings import clip_of
from tests.data.real_input import CASES, can_write, write_case


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_all_stages_get_through(case, tmp_path):
    if not can_write(case):
        pytest.skip(f"this FFmpeg cannot encode {case.codec} or {case.sound}")
    path = write_case(case, tmp_path)
    measuring: tuple[Stage, ...] = (Fingerprint(), Borders(), Still(), Flashing(), Technical())
    cut = Cut(folder=str(tmp_path / "out"))
    shots = Shots(min_s=0.0).process(clip_of(path))
    for clip in shots:
        for stage in (*measuring, cut):
            (clip,) = stage.process(clip)
        assert all(math.isfinite(score) for score in clip.scores.values())
        assert {"borders", "still", "flashing", "technical"} <= set(clip.scores)
        assert 0 <= clip.scores["technical"] <= 1
        written = probe(tmp_path / "out" / clip.info["cut_file"])
        assert written.num_frames == len(clip.frames().frame_numbers)
        assert Duplicates().process_all([clip])[0].scores["duplicates"] == 0.0
    starts = [clip.start_s for clip in shots]
    assert starts == sorted(starts)
    if case.source == "edited":
        assert np.any([abs(start * 24 - 20) < 3 for start in starts]), "the cut at two thirds was not found"

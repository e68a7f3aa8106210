"""Results of stub clips: what a test says of each, without files."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rufous.evaluation.dimensions.dimension import ClipScore
from rufous.evaluation.dimensions.loaded_row import LoadedRow
from rufous.evaluation.dimensions.rows import LoadedRows
from rufous.evaluation.dimensions.temporal_flickering import TemporalFlickering
from rufous.evaluation.dimensions.world import WorldFeatures, WorldTruth
from rufous.evaluation.measuring import MeasuredClip
from rufous.evaluation.results_file import Results, collect_results
from rufous.evaluation.vbench.suite import ClipFile, Problem


def measured_clip(
    number: int, scores: Mapping[str, ClipScore], *problems: Problem, samples: int = 1
) -> MeasuredClip:
    """A clip; ``samples`` of them after another have one prompt."""
    path = Path(f"clips/a <prompt>-{number}.mp4")
    clip = ClipFile(path=path, prompt=f"a <prompt> {number // samples}", index=number % samples)
    return MeasuredClip(clip=clip, sha256=f"{number:064x}", scores=scores, problems=problems)


def loaded_rows(*names: str, identity: str = "", **left_out: str) -> LoadedRows:
    kinds = {"world_truth": WorldTruth(), "world_features": WorldFeatures(embed=lambda frames: frames)}
    rows = {name: LoadedRow(kinds.get(name, TemporalFlickering(name=name)), identity) for name in names}
    return LoadedRows(rows, left_out)


def results_of(
    source: str, identity: str = "", *, samples: int = 1, **values: Sequence[float | None]
) -> Results:
    """Results with these values of each row, clip by clip."""
    columns = zip(*values.values(), strict=True)
    scores = [
        {row: ClipScore(value=value) for row, value in zip(values, column, strict=True)} for column in columns
    ]
    measured = [measured_clip(i, each, samples=samples) for i, each in enumerate(scores)]
    return collect_results(source, measured, loaded_rows(*values, identity=identity))

"""Which rows ``rufous evaluate`` measures: those asked for, those of a suite, and those from outside."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rufous.evaluation.dimensions.rows import LoadedRows
    from rufous.evaluation.vbench.results import DimensionResult
    from rufous.evaluation.vbench.suite import MatchedFolder, SuiteEntry


def row_names(rows: str | None, suite: "Sequence[SuiteEntry] | None") -> list[str]:
    """The rows to load: those asked for, or all that apply to the suite.

    temporal_flickering of a suite brings the row that sorts out clips that move, and the one of all clips.
    Without a suite nobody asks for clips that stand still, so it is that of all clips, under the name that
    no total of VBench knows.
    Rows that VBench does not know come with its suites only if they are asked for by name.

    Raises:
        ValueError: The suite asks for none of them.
    """
    from rufous.evaluation.dimensions.rows import ROW_NAMES
    from rufous.evaluation.vbench.suite import FLICKERING, ON_REQUEST, STATIC, UNFILTERED, asks_for

    names = list(ROW_NAMES) if rows is None else [name.strip() for name in rows.split(",")]
    if suite is None:
        asked = [name for name in names if rows is not None or name != STATIC]
        return list(dict.fromkeys(UNFILTERED if name == FLICKERING else name for name in asked))
    if FLICKERING in names:
        names = list(dict.fromkeys([*names, STATIC, UNFILTERED]))
    if rows is None:
        named = {name for entry in suite for name in entry.dimensions or ON_REQUEST}
        names = [name for name in names if name not in ON_REQUEST or name in named]
    asked = [name for name in names if any(asks_for(entry.dimensions, name) for entry in suite)]
    if not asked:
        raise ValueError(f"--suite asks for none of --rows {rows}: give others, or leave --rows out")
    return asked if rows is None else names


def without_aim(
    names: Sequence[str], suite: "Sequence[SuiteEntry] | None"
) -> tuple[list[str], dict[str, str]]:
    """Take away rows that look for what no prompt tells, before their networks are loaded.

    A prompt that a suite measures on such a row without a word on what to look for keeps it: each of its
    clips says so.

    Returns:
        The rows that are left, and the reason by the others.
    """
    from rufous.evaluation.dimensions.rows import ROW_NEEDS
    from rufous.evaluation.vbench.suite import asks_for

    def has_aim(row: str) -> bool:
        asked = [entry for entry in suite or () if asks_for(entry.dimensions, row)]
        return any(entry.dimensions or ROW_NEEDS[row] in (entry.auxiliary or {}) for entry in asked)

    aimless = [name for name in names if name in ROW_NEEDS and not has_aim(name)]
    left_out = dict.fromkeys(aimless, "no clip says what to look for: give a --suite with auxiliary_info")
    return [name for name in names if name not in left_out], left_out


def outside_rows(path: Path) -> "dict[str, DimensionResult]":
    """Rows of VBench that another program measured.

    Raises:
        ValueError: No results, or a row that VBench's table does not know.
    """
    from rufous.evaluation.vbench.results import read_eval_results
    from rufous.evaluation.vbench.score_table import T2V

    found = read_eval_results(path)
    if unknown := [name for name in found if name not in T2V.rows]:
        raise ValueError(f"{path}: {', '.join(unknown)} is no row of VBench's table: leave it out")
    return found


def check_outside(outside: "Mapping[str, DimensionResult]", loaded: "LoadedRows") -> None:
    """Refuse a row that is measured here and outside, with a ``ValueError``."""
    if both := [name for name in outside if name in loaded.rows]:
        raise ValueError(
            f"{', '.join(both)} would be measured here too: narrow --rows or what --with-rows holds"
        )


def without_unsorted_flickering(loaded: "LoadedRows") -> "LoadedRows":
    """Under a suite temporal_flickering counts clips that stand still; without flow nobody knows which do."""
    from rufous.evaluation.vbench.suite import FLICKERING, STATIC, UNFILTERED

    if STATIC in loaded.rows or FLICKERING not in loaded.rows:
        return loaded
    reason = f"without {STATIC}, clips that move are not sorted out: see {UNFILTERED}"
    kept = {name: row for name, row in loaded.rows.items() if name != FLICKERING}
    return replace(loaded, rows=kept, left_out={**loaded.left_out, FLICKERING: reason})


def without_world(loaded: "LoadedRows", matched: "MatchedFolder") -> "LoadedRows":
    """Without the rows of the world where no prompt is in its grammar: their figures would mean nothing."""
    from rufous.evaluation.vbench.suite import WORLD
    from rufous.world.captions import parse_caption

    if any(parse_caption(clip.prompt) is not None for clip in matched.clips):
        return loaded
    reason = "no prompt is in the world's grammar"
    kept = {name: row for name, row in loaded.rows.items() if not name.startswith(WORLD)}
    left_out = {**loaded.left_out, **{n: reason for n in loaded.rows if n not in kept}}
    return replace(loaded, rows=kept, left_out=left_out)

"""VBench's score tables: what each dimension ranges over, what it weighs, and the totals.

    n_d = w_d * (x_d - min_d) / (max_d - min_d)            not clipped
    T2V: quality = sum(n_d over 7 rows) / 6.5, semantic = sum(n_d over 9 rows) / 9
         total = (4 quality + semantic) / 5
    I2V: i2v = sum(n_d over 3 rows) / 2.1, quality = sum(n_d over 6 rows) / 5.5
         total = (i2v + quality) / 2

The published script takes a missing dimension for 0 and prints a total all the same; here it is refused.

Source: VBench, Huang et al. 2024 (arXiv:2311.17982), and VBench++ (arXiv:2411.13503) for I2V.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ScoreRow:
    """One dimension: its empirical range, and how much it counts in its group."""

    low: float
    high: float
    weight: float
    group: str


@dataclass(frozen=True, kw_only=True)
class ScoreTable:
    """All dimensions of one benchmark, in the published order, and what each group counts in the total."""

    name: str
    rows: Mapping[str, ScoreRow]
    group_weights: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Scores of a model, as fractions; a table prints them times 100."""

    total: float
    groups: Mapping[str, float]


T2V = ScoreTable(
    name="VBench T2V",
    rows={
        "subject_consistency": ScoreRow(0.1462, 1.0, 1.0, "quality"),
        "background_consistency": ScoreRow(0.2615, 1.0, 1.0, "quality"),
        "temporal_flickering": ScoreRow(0.6293, 1.0, 1.0, "quality"),
        "motion_smoothness": ScoreRow(0.706, 0.9975, 1.0, "quality"),
        "dynamic_degree": ScoreRow(0.0, 1.0, 0.5, "quality"),
        "aesthetic_quality": ScoreRow(0.0, 1.0, 1.0, "quality"),
        "imaging_quality": ScoreRow(0.0, 1.0, 1.0, "quality"),
        "object_class": ScoreRow(0.0, 1.0, 1.0, "semantic"),
        "multiple_objects": ScoreRow(0.0, 1.0, 1.0, "semantic"),
        "human_action": ScoreRow(0.0, 1.0, 1.0, "semantic"),
        "color": ScoreRow(0.0, 1.0, 1.0, "semantic"),
        "spatial_relationship": ScoreRow(0.0, 1.0, 1.0, "semantic"),
        "scene": ScoreRow(0.0, 0.8222, 1.0, "semantic"),
        "appearance_style": ScoreRow(0.0009, 0.2855, 1.0, "semantic"),
        "temporal_style": ScoreRow(0.0, 0.364, 1.0, "semantic"),
        "overall_consistency": ScoreRow(0.0, 0.364, 1.0, "semantic"),
    },
    group_weights={"quality": 4.0, "semantic": 1.0},
)

I2V = ScoreTable(
    name="VBench I2V",
    rows={
        "camera_motion": ScoreRow(0.0, 1.0, 0.1, "i2v"),
        "i2v_subject": ScoreRow(0.1462, 1.0, 1.0, "i2v"),
        "i2v_background": ScoreRow(0.2615, 1.0, 1.0, "i2v"),
        "subject_consistency": T2V.rows["subject_consistency"],
        "background_consistency": T2V.rows["background_consistency"],
        "motion_smoothness": T2V.rows["motion_smoothness"],
        "dynamic_degree": T2V.rows["dynamic_degree"],
        "aesthetic_quality": T2V.rows["aesthetic_quality"],
        "imaging_quality": T2V.rows["imaging_quality"],
    },
    group_weights={"i2v": 1.0, "quality": 1.0},
)


def normalized(row: ScoreRow, value: float) -> float:
    """A raw score on the scale of the table, without its weight; beyond [0, 1] outside of the row's range."""
    return (value - row.low) / (row.high - row.low)


def missing_rows(scores: Mapping[str, float], table: ScoreTable = T2V) -> list[str]:
    """Dimensions of a table that ``scores`` lacks, in the table's order."""
    return [name for name in table.rows if name not in scores]


def totals(scores: Mapping[str, float], table: ScoreTable = T2V) -> Totals:
    """Group scores and the total of raw scores.

    Args:
        scores: Fractions (imaging quality already divided by 100) by dimension, with ``_`` or spaces; what
            the table does not know is passed over.
        table: Which benchmark.

    Raises:
        ValueError: A dimension is missing, or a score is not finite; a total of less would not compare.
    """
    given = {name.replace(" ", "_"): value for name, value in scores.items()}
    if absent := missing_rows(given, table):
        raise ValueError(f"no total of {table.name} without {', '.join(absent)}: measure these rows as well")
    broken = [name for name in table.rows if not math.isfinite(given[name])]
    if broken:
        raise ValueError(f"no total of {table.name}: {', '.join(broken)} is not finite")
    groups = {group: _group_score(given, table, group) for group in table.group_weights}
    weights = table.group_weights
    total = sum(weights[group] * score for group, score in groups.items()) / sum(weights.values())
    return Totals(total=total, groups=groups)


def _group_score(scores: Mapping[str, float], table: ScoreTable, group: str) -> float:
    rows = {name: row for name, row in table.rows.items() if row.group == group}
    weighted = sum(row.weight * normalized(row, scores[name]) for name, row in rows.items())
    return weighted / sum(row.weight for row in rows.values())

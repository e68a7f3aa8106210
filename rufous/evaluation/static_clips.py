"""temporal_flickering as VBench counts it: on the first clips of each prompt that stand still."""

from collections.abc import Sequence
from dataclasses import replace

from rufous.evaluation.dimensions.dimension import ClipScore, not_for
from rufous.evaluation.measuring import MeasuredClip
from rufous.evaluation.vbench.suite import FLICKERING, STATIC, Problem


def keep_static(
    measured: Sequence[MeasuredClip], samples: int
) -> tuple[list[MeasuredClip], tuple[Problem, ...]]:
    """Take temporal_flickering from clips that move, and from those beyond ``samples`` of a prompt.

    Args:
        measured: Clips with the rows temporal_flickering and static_filter; others are left as they are.
        samples: How many count of each prompt, in the order of file names, where 10 comes before 2.

    Returns:
        The clips in their order, and the prompts with fewer that stand still.
    """
    counted: dict[str, list[MeasuredClip]] = {}
    judged: dict[str, int] = {}
    for each in sorted(measured, key=lambda each: each.clip.path.name):
        if FLICKERING in each.scores and STATIC in each.scores:
            value = each.scores[STATIC].value
            judged[each.clip.prompt] = judged.get(each.clip.prompt, 0) + (value is not None)
            counted.setdefault(each.clip.prompt, [])
            if value == 1.0 and len(counted[each.clip.prompt]) < samples:
                counted[each.clip.prompt].append(each)
    problems = tuple(
        Problem(
            f"{prompt}-*", f"{len(kept)} of {judged[prompt]} clips stand still, {FLICKERING} takes {samples}"
        )
        for prompt, kept in counted.items()
        if len(kept) < samples and judged[prompt]
    )
    chosen = {each.clip.path for kept in counted.values() for each in kept}
    return [each if each.clip.path in chosen else _without(each) for each in measured], problems


def _without(each: MeasuredClip) -> MeasuredClip:
    if FLICKERING not in each.scores:
        return each
    return replace(each, scores={**each.scores, FLICKERING: _why(each.scores.get(STATIC))})


def _why(static: ClipScore | None) -> ClipScore:
    if static is None or static.value is None:
        return not_for("whether it stands still was not measured")
    return not_for("it moves" if static.value == 0.0 else "enough clips of its prompt stand still before it")

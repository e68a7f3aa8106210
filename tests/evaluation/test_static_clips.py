from dataclasses import replace
from pathlib import Path

from rufous.evaluation.dimensions.dimension import ClipScore, not_for
from rufous.evaluation.measuring import MeasuredClip
from rufous.evaluation.static_clips import keep_static
from rufous.evaluation.vbench.suite import FLICKERING, STATIC, ClipFile


def clip_of(prompt: str, index: int, static: float | None) -> MeasuredClip:
    judged = not_for("too small") if static is None else ClipScore(value=static)
    clip = ClipFile(path=Path(f"{prompt}-{index}.mp4"), prompt=prompt, index=index)
    return MeasuredClip(clip=clip, sha256="", scores={FLICKERING: ClipScore(value=0.5), STATIC: judged})


def counted(measured: list[MeasuredClip]) -> list[str]:
    return [each.clip.path.stem for each in measured if each.scores[FLICKERING].value is not None]


def test_the_first_clips_by_name_that_stand_still_count():
    clips = [clip_of("a", index, float(index != 0)) for index in range(12)]
    kept, problems = keep_static(clips, 3)
    assert [each.clip for each in kept] == [each.clip for each in clips]
    assert set(counted(kept)) == {"a-1", "a-10", "a-11"}
    assert kept[0].scores[FLICKERING].details == {"note": "it moves"}
    assert kept[2].scores[FLICKERING].details == {"note": "enough clips of its prompt stand still before it"}
    assert problems == ()


def test_prompts_with_too_few_are_told():
    clips = [clip_of("a", 0, 1.0), clip_of("a", 1, 0.0), clip_of("b", 0, 1.0), clip_of("b", 1, 1.0)]
    kept, problems = keep_static(clips, 2)
    assert counted(kept) == ["a-0", "b-0", "b-1"]
    assert [(p.file, p.reason) for p in problems] == [
        ("a-*", "1 of 2 clips stand still, temporal_flickering takes 2")
    ]


def test_clips_that_were_not_judged_do_not_count_and_others_are_left_alone():
    failed = replace(clip_of("a", 1, 1.0), scores={FLICKERING: ClipScore(value=0.5)})
    other = replace(clip_of("c", 0, 1.0), scores={"color": ClipScore(value=1.0)})
    kept, problems = keep_static([clip_of("a", 0, None), failed, other], 1)
    assert all(
        each.scores[FLICKERING].details == {"note": "whether it stands still was not measured"}
        for each in kept[:2]
    )
    assert kept[2] is other
    assert problems == ()

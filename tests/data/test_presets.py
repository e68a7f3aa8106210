from dataclasses import dataclass
from typing import ClassVar

import pytest

from rufous.core.errors import CheckpointError, ConfigError
from rufous.data.clip import Clip
from rufous.data.filters import Filter, TagFilter
from rufous.data.presets import PRESETS, make_plan, parse_steps, with_stages
from rufous.data.stage import SetStage, Stage
from rufous.data.stages.registry import STAGES
from rufous.data.stages.shots import Shots
from tests.data.small_stages import AfterRank, Brightness, Contrast, Rank, Trouble


@dataclass(frozen=True, kw_only=True)
class Weighty(Trouble):
    """Lacks its weights."""

    name: ClassVar[str] = "weighty"

    def missing(self) -> str | None:
        return "no weights: put them into a folder"


@dataclass(frozen=True, kw_only=True)
class OnWeighty(Trouble):
    """Reads what the other would find."""

    name: ClassVar[str] = "on_weighty"
    after: ClassVar[tuple[str, ...]] = ("weighty",)


@dataclass(frozen=True, kw_only=True)
class Refuses(Trouble):
    """Finds out when it is made."""

    name: ClassVar[str] = "refuses"

    def __post_init__(self) -> None:
        raise CheckpointError("no file")


@pytest.fixture(autouse=True)
def stages(monkeypatch):
    for stage in (Brightness, Contrast, Trouble, Rank, AfterRank, Weighty, OnWeighty, Refuses):
        monkeypatch.setitem(STAGES, stage.name, stage)


def names(plan) -> list[str]:
    return [step.name for step in plan.steps]


def test_names_become_stages_with_their_settings():
    steps = ("brightness", Filter(value="brightness", min=1.0), "contrast")
    plan = make_plan(steps, settings=["brightness.gain=2", "brightness.log=x"])
    assert plan.steps == (Brightness(gain=2.0, log="x"), Filter(value="brightness", min=1.0), Contrast())
    assert plan.stages == (plan.steps[0], plan.steps[2])
    assert plan.left_out == {}


def test_what_lacks_its_files_is_left_out_with_what_looks_at_it():
    filters = (Filter(value="weighty_sky", min=1.0), TagFilter(value="weighty", refused=("x",)))
    plan = make_plan(("brightness", "weighty", "on_weighty", "refuses", "absent", *filters))
    assert names(plan) == ["brightness", "on_weighty"]  # it may do without
    assert plan.left_out == {
        "weighty": "no weights: put them into a folder",
        "refuses": "no file",
        "absent": "this version has no such stage",
        "weighty_sky>=1": "weighty is left out",
        "weighty!=x": "weighty is left out",
    }


def test_filters_of_the_command_line_take_the_place_of_those_of_the_preset():
    steps = ("brightness", Filter(value="brightness", min=1.0), Filter(value="length_s", min=1.0), "contrast")
    low, high = Filter(value="brightness", min=5.0), Filter(value="brightness", max=9.0)
    plan = make_plan(steps, filters=[low, Filter(value="contrast", min=0.1), high])
    assert names(plan) == [
        *("brightness", "brightness>=5", "brightness<=9", "length_s>=1", "contrast", "contrast>=0.1"),
    ]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"settings": ["gain=2"]}, "'gain=2' is no setting: write stage.setting=value"),
        ({"settings": ["contrast.gain=2"]}, "no stage of this run is named 'contrast': it has brightness"),
        ({"settings": ["brightness.gian=2"]}, "did you mean 'gain'"),
        ({"settings": ["weighty.log=x"]}, "weighty cannot run here: no weights"),
        ({"filters": [Filter(value="flow", min=1.0)]}, "no stage of this run gives flow"),
        ({"filters": [Filter(value="weighty", min=1.0)]}, "no stage of this run gives weighty"),
        ({"filters": [Filter(value="brightnes", min=1.0)]}, "gives brightnes: did you mean brightness"),
    ],
)
def test_settings_and_filters_that_fit_nothing_are_refused(changes, told):
    with pytest.raises(ConfigError, match=told):
        make_plan(("brightness", "weighty"), **changes)


def test_more_stages_come_before_the_first_filter():
    bound = Filter(value="brightness", min=1.0)
    assert with_stages(("probe", bound, "contrast"), ["brightness"]) == (
        "probe",
        "brightness",
        bound,
        "contrast",
    )
    assert with_stages(("probe",), ["brightness"]) == ("probe", "brightness")
    with pytest.raises(ConfigError, match="'colour' is no stage: use probe"):
        with_stages(("probe",), ["colour"])
    with pytest.raises(ConfigError, match="has the stage probe already"):
        with_stages(("probe",), ["probe"])


@pytest.mark.parametrize("name", PRESETS)
def test_presets_can_be_planned_with_whatever_is_here(name):
    plan = make_plan(PRESETS[name].steps)
    assert plan.stages[0].name == "probe"
    told = {step if isinstance(step, str) else step.name for step in PRESETS[name].steps}
    assert {*names(plan), *plan.left_out} == told


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_is_registered_under_its_name_with_defaults(name):
    made = STAGES[name]()
    assert made.name == name
    assert isinstance(made, Stage | SetStage)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("technical_sharpnes>=3", "gives technical_sharpnes: did you mean technical_sharpness"),
        ("technical!=bad", "gives the tag technical: use .*camera_motion"),
        ("camera_motion!=dolly_zoom_in,dolly_zoom_out", "never 'dolly_zoom_in': did you mean dolly_zoom or"),
        ("camera_motion>=1", "gives camera_motion: "),
        ("borders!=bars", "borders is never 'bars': use none, letterbox"),
    ],
)
def test_a_filter_of_what_its_stage_does_not_give_is_refused(text, told):
    with pytest.raises(ConfigError, match=told):
        make_plan(parse_steps(["technical", "camera", "borders", text]))


def test_a_filter_may_look_at_what_clips_bring():
    clips = [Clip(source="a.mp4", scores={"weighty": 2.0, "match": 20.0}, tags={"said": "x"})]
    own = parse_steps(["match>=15", "said!=y"])
    steps = ("brightness", "weighty", Filter(value="weighty", min=1.0))
    plan = make_plan(steps, filters=own, clips=clips)
    assert names(plan) == ["brightness", "match>=15", "said!=y", "weighty>=1"]
    assert set(plan.left_out) == {"weighty"}
    with pytest.raises(ConfigError, match="no stage of this run gives match"):
        make_plan(steps, filters=own)


def test_a_filter_stands_after_its_stage():
    with pytest.raises(ConfigError, match=r"technical>=0.3 stands before technical, which finds its value"):
        make_plan(parse_steps(["technical>=0.3", "technical"]))
    make_plan(parse_steps(["width>=10", "length_s>=1", "technical", "technical>=0.3"]))


def test_an_added_filter_acts_at_the_end_of_the_pass_that_finds_its_value():
    steps = PRESETS["hummingbird"].steps
    added = parse_steps(["watermark<=0.002", "borders!=letterbox", "width>=320"])
    settings = ["describe.endpoint.model=x", "rewrite.endpoint.model=x"]
    found = names(make_plan(steps, filters=added, settings=settings))
    place = found.index("duplicates")
    assert found[place - 4 : place] == ["fingerprint", *(each.name for each in added)]
    assert found.index("text_area<=0.02") < found.index("describe")
    plan = make_plan(("brightness", "after_rank"), filters=[Filter(value="brightness", min=1.0)])
    assert names(plan) == ["brightness", "brightness>=1", "after_rank"]  # for a GPU


@pytest.mark.parametrize(
    ("added", "before", "after"),
    [
        ("video_match", "rewrite", None),
        ("rewrite_locally", "describe", "rewrite"),
        ("describe_locally", "text_area<=0.02", "describe"),
        ("cut", "text_area<=0.02", "describe"),
        ("dover", "duplicates", "length_s>=1"),
    ],
)
def test_an_added_stage_comes_after_what_it_reads_and_writes_for_clips_that_stay(added, before, after):
    steps = with_stages(PRESETS["hummingbird"].steps, [added])
    placed = [step if isinstance(step, str) else step.name for step in steps]
    place = placed.index(added)
    assert placed.index(before) < place
    assert after is None or place < placed.index(after)
    read = [placed.index(name) for name in STAGES[added].after if name in placed]
    assert all(each < place for each in read)


def test_the_order_of_added_stages_is_found():
    assert with_stages(("probe",), ["duplicates", "fingerprint"]) == ("probe", "fingerprint", "duplicates")


def test_a_step_may_be_a_stage_with_its_settings():
    plan = make_plan(("probe", Shots(max_s=15.0)), settings=["shots.min_s=2"])
    assert plan.stages[1] == Shots(max_s=15.0, min_s=2.0)
    assert with_stages(("probe", Shots()), ["brightness"]) == ("probe", Shots(), "brightness")


def test_long_shots_become_pieces_that_open_sora_keeps():
    plan = make_plan(PRESETS["open-sora-1.2"].steps)
    (shots,) = [stage for stage in plan.stages if isinstance(stage, Shots)]
    (length,) = [step for step in plan.steps if isinstance(step, Filter) and step.value == "length_s"]
    assert length.min is not None
    assert length.max is not None
    assert length.min <= shots.max_s / 2 < shots.max_s <= length.max  # pieces are longer than half of max_s


def test_stages_that_may_wait_longer_than_their_worker_are_refused():
    settings = ["describe.endpoint.model=x", "rewrite.endpoint.model=x"]
    steps = ("describe", "rewrite")
    assert len(make_plan(steps, settings=settings, timeout_s=600.0).stages) == 2
    told = "describe and rewrite may wait 480 s for one clip, which may take 599 s: raise its limit to 600 s"
    with pytest.raises(ConfigError, match=told):
        make_plan(steps, settings=settings, timeout_s=599.0)

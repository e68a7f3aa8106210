from dataclasses import dataclass
from typing import ClassVar

import pytest

from rufous.core.errors import CheckpointError, ConfigError
from rufous.data.filters import Filter, TagFilter
from rufous.data.presets import PRESETS, make_plan, with_stages
from rufous.data.stage import SetStage, Stage
from rufous.data.stages.registry import STAGES
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

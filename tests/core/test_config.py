import json
from dataclasses import dataclass, field, replace
from typing import Literal

import pytest

from rufous.core.config import from_json_dict, override, to_json_dict
from rufous.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Inner:
    rate: float = 0.1
    names: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.rate <= 0:
            raise ConfigError(f"rate={self.rate} must be positive")


@dataclass(frozen=True, kw_only=True)
class Outer:
    steps: int
    mode: Literal["fast", "slow"] = "fast"
    sizes: tuple[int, ...] = (1, 2)
    pair: tuple[int, float] = (1, 0.5)
    limit: float | None = None
    inner: Inner = field(default_factory=Inner)
    table: dict[str, int] = field(default_factory=dict)


def test_a_config_survives_json():
    config = Outer(
        steps=3,
        mode="slow",
        sizes=(4, 5, 6),
        limit=2.5,
        inner=Inner(rate=1, names=frozenset({"b", "a"})),
        table={"x": 1},
    )
    assert from_json_dict(Outer, json.loads(json.dumps(to_json_dict(config)))) == config


def test_overrides_reach_nested_fields_and_take_json_values():
    config = override(Outer(steps=1), ["steps=5", "inner.rate=1e-3", "sizes=[7, 8]", "limit=3", "mode=slow"])
    assert config == Outer(steps=5, mode="slow", sizes=(7, 8), limit=3.0, inner=Inner(rate=1e-3))
    assert override(replace(config, limit=1.0), ["limit=null"]).limit is None
    assert override(config, ['inner.names=["c"]']).inner.names == frozenset({"c"})


@dataclass(frozen=True)
class Paired:
    names: tuple[str, ...] = ("a", "b")
    folders: tuple[str, ...] = ("x", "y")
    inner: Inner = field(default_factory=Inner)

    def __post_init__(self):
        if len(self.names) != len(self.folders):
            raise ValueError("as many folders as names")


def test_fields_that_must_fit_each_other_change_together():
    changed = override(Paired(), ['names=["c"]', "inner.rate=0.5", 'folders=["z"]', "inner.rate=0.25"])
    assert (changed.names, changed.folders, changed.inner.rate) == (("c",), ("z",), 0.25)
    with pytest.raises(ValueError, match="as many folders"):
        override(Paired(), ['names=["c"]'])


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("stepz=5", "did you mean 'steps'"),
        ("inner.rat=5", "did you mean 'rate'"),
        ("steps", "has no '='"),
        ("steps=many", "steps='many' does not fit: expected int"),
        ("steps=true", "expected int"),
        ("mode=medium", "one of 'fast', 'slow'"),
        ("inner.rate=-1", "must be positive"),
        ("steps.x=1", "int has no field 'x'"),
        ("pair=[1]", "pair=.* does not fit"),
    ],
)
def test_a_wrong_override_says_what_is_right(assignment, message):
    with pytest.raises(ConfigError, match=message):
        override(Outer(steps=1), [assignment])


def test_json_with_unknown_or_missing_fields_is_refused():
    with pytest.raises(ConfigError, match="has no field 'colour'"):
        from_json_dict(Outer, {"steps": 1, "colour": 2})
    with pytest.raises(ConfigError, match="needs a value for steps"):
        from_json_dict(Outer, {})


def test_values_without_a_json_form_are_refused():
    with pytest.raises(ConfigError, match="cannot write object"):
        to_json_dict({"x": object()})

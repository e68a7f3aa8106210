"""Frozen dataclasses as configuration: to JSON and back, and ``key=value`` overrides from a command line."""

import dataclasses
import difflib
import json
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

from rufous.core.errors import ConfigError

Config = TypeVar("Config")


def to_json_dict(config: Any) -> Any:
    """Plain JSON values of a config: dataclasses become dicts, tuples and sets become lists."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return {f.name: to_json_dict(getattr(config, f.name)) for f in dataclasses.fields(config)}
    if isinstance(config, Mapping):
        return {str(key): to_json_dict(value) for key, value in config.items()}
    if isinstance(config, frozenset | set):
        return sorted(to_json_dict(value) for value in config)
    if isinstance(config, list | tuple):
        return [to_json_dict(value) for value in config]
    if config is None or isinstance(config, bool | int | float | str):
        return config
    raise ConfigError(f"cannot write {type(config).__name__} into a config file")


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """JSON values with nested names joined by dots: ``{"a": {"b": 1}}`` becomes ``{"a.b": 1}``."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= flattened(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat


def differences(
    before: Mapping[str, Any], after: Mapping[str, Any], *, may_change: Collection[str] = ()
) -> list[str]:
    """In words, which JSON values differ; names in ``may_change`` are passed over."""
    old, new = flattened(before), flattened(after)
    return [
        f"{name} was {old.get(name)!r} and is {new.get(name)!r}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name) and name not in may_change
    ]


def from_json_dict(kind: type[Config], values: Mapping[str, Any]) -> Config:
    """Build the dataclass ``kind`` from JSON values; its own validation runs.

    Raises:
        ConfigError: A field is unknown (the message lists the right ones), missing, or of the wrong type.
    """
    hints = typing.get_type_hints(kind)
    known = {f.name: f for f in dataclasses.fields(kind) if f.init}  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            raise ConfigError(_unknown_field(kind, name, list(known)))
    required = [
        name
        for name, f in known.items()
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    missing = [name for name in required if name not in values]
    if missing:
        raise ConfigError(f"{kind.__name__} needs a value for {', '.join(missing)}")
    return kind(**{name: _coerce(value, hints[name], name) for name, value in values.items()})


def override(config: Config, assignments: Sequence[str]) -> Config:
    """Replace nested fields by ``"a.b=value"`` texts; each value is JSON, or else a plain string.

    ``override(config, ["optimizer.learning_rate=1e-5"])`` re-runs the validation of what it rebuilds, once
    for all texts, so that fields which must fit each other can change together.

    Raises:
        ConfigError: No ``=``, an unknown field (the message lists the right ones), or a value of the
            wrong type.
    """
    changes: list[tuple[list[str], str]] = []
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise ConfigError(f"override {assignment!r} has no '=': write field=value or group.field=value")
        changes.append((path.split("."), text))
    return _replace(config, changes) if changes else config


def _replace(config: Any, changes: Sequence[tuple[Sequence[str], str]]) -> Any:
    """The config with all changes, given by path; the last one of a field counts."""
    whole: dict[str, Any] = {}
    inside: dict[str, list[tuple[Sequence[str], str]]] = {}
    for (name, *rest), text in changes:
        if name not in _field_names(config):
            raise ConfigError(_unknown_field(type(config), name, _field_names(config)))
        if rest:
            inside.setdefault(name, []).append((rest, text))
        else:
            hint = typing.get_type_hints(type(config))[name]
            whole[name] = _coerce(_parse(text), hint, name)
            inside.pop(name, None)
    parts = {name: _replace(whole.get(name, getattr(config, name)), own) for name, own in inside.items()}
    return dataclasses.replace(config, **{**whole, **parts})


def _field_names(config: Any) -> list[str]:
    return [f.name for f in dataclasses.fields(config)] if dataclasses.is_dataclass(config) else []


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return {"True": True, "False": False, "None": None}.get(text, text)


def _coerce(value: Any, hint: Any, name: str) -> Any:
    """``value`` as ``hint`` wants it, or a ConfigError; JSON has no tuples, sets or dataclasses."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        for option in arguments:
            try:
                return _coerce(value, option, name)
            except ConfigError:
                continue
    elif origin is typing.Literal:
        if value in arguments:
            return value
    elif origin is tuple and isinstance(value, list | tuple):
        if arguments[-1:] == (Ellipsis,):
            return tuple(_coerce(item, arguments[0], name) for item in value)
        if len(arguments) == len(value):
            return tuple(_coerce(item, kind, name) for item, kind in zip(value, arguments, strict=True))
    elif origin is frozenset and isinstance(value, list | tuple | set | frozenset):
        return frozenset(_coerce(item, arguments[0], name) for item in value)
    elif origin in (dict, Mapping) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        if isinstance(value, Mapping):
            return {key: _coerce(item, arguments[1], name) for key, item in value.items()}
    elif dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if isinstance(value, hint):
            return value
        if isinstance(value, Mapping):
            return from_json_dict(hint, value)
    elif hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif isinstance(hint, type) and isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    elif hint is None and value is None:
        return None
    raise ConfigError(f"{name}={value!r} does not fit: expected {_describe(hint)}")


def _describe(hint: Any) -> str:
    if typing.get_origin(hint) is typing.Literal:
        return "one of " + ", ".join(map(repr, typing.get_args(hint)))
    return getattr(hint, "__name__", None) if isinstance(hint, type) else str(hint).replace("typing.", "")  # type: ignore[return-value]


def _unknown_field(kind: type, name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{kind.__name__} has no field {name!r}: {hint}it has {', '.join(known) or 'none'}"

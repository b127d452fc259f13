"""Dataclasses out of JSON values, every type checked: the way back from `dataclasses.asdict`."""

from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints


def structure(kind: Any, value: Any, name: str) -> Any:
    """Return `value` as an instance of `kind`.

    Parameters
    ----------
    kind : a dataclass, int, float, str, bool, `tuple[X, ...]`, `tuple[X, Y]` or `X | None`. What a
        dataclass has a default for may be missing.
    value : of JSON types; a float may be written without a point, nothing else is converted.
    name : of the value, for errors.

    Raises
    ------
    ValueError : a value is of another type or one that its dataclass refuses, a field is missing,
        or there is none of that name.

    Examples
    --------
    >>> structure(tuple[float, ...], [1, 2.5], "rates")
    (1.0, 2.5)
    """
    if is_dataclass(kind):
        return _dataclass(kind, value, name)
    if get_origin(kind) is tuple:
        return _tuple(get_args(kind), value, name)
    if get_origin(kind) is UnionType:
        (other,) = (k for k in get_args(kind) if k is not NoneType)
        return None if value is None else structure(other, value, name)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise ValueError(f"{name} must be of type {kind.__name__}, got {value!r}")
    return value


def json_object(value: Any, name: str) -> dict[str, Any]:
    """Return `value`, which has to be a JSON object.

    Raises
    ------
    ValueError : it is none.
    """
    if not isinstance(value, dict):
        raise ValueError(f"{name} must be a JSON object, got {value!r}")
    return value


def _dataclass(kind: Any, value: Any, name: str) -> Any:
    given, types = json_object(value, name), get_type_hints(kind)
    known = {field.name: field for field in fields(kind)}
    if unknown := sorted(set(given) - set(known)):
        raise ValueError(f"{name} must have only {', '.join(known)}, got {unknown[0]}")
    for field in known.values():
        if field.name not in given and field.default is field.default_factory is MISSING:
            raise ValueError(f"{name} must have {field.name}, got none")
    values = {key: structure(types[key], v, f"{name}.{key}") for key, v in given.items()}
    try:
        return kind(**values)
    except ValueError as error:
        raise ValueError(f"{name} is out of range: {error}") from error


def _tuple(kinds: tuple[Any, ...], value: Any, name: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"{name} must be a list, got {value!r}")
    if kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(value)
    if len(value) != len(kinds):
        raise ValueError(f"{name} must have {len(kinds)} entries, got {len(value)}")
    pairs = zip(kinds, value, strict=True)
    return tuple(structure(kind, v, f"{name}[{i}]") for i, (kind, v) in enumerate(pairs))

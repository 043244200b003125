"""Facts: the JSON values that a schema release lets out, and how many bits one can tell.

A schema has booleans, integers with both bounds, enums, and objects of these; no free text. What is let out is
written anew from the values, so spacing, order of keys and ways to write a number tell nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec

from outlay.errors import InputError
from outlay.policy.toml_lines import describe, nearest

_KEYS = {
    "object": {"type", "properties", "required", "additionalProperties", "description"},
    "boolean": {"type", "description"},
    "integer": {"type", "minimum", "maximum", "description"},
    "enum": {"enum", "type", "description"},
}
_DEEPEST = 8


def check_schema(schema: object, tell: Callable[[str], None], place: str = "schema") -> None:
    """Tell, by sentences, everything in a schema that a fact cannot be bound to."""
    if not isinstance(schema, dict):
        tell(f"{place} wants keys, has {describe(schema)}")
        return
    kind = "enum" if "enum" in schema else schema.get("type")
    if kind not in _KEYS:
        tell(f"{place}: a fact is a boolean, an integer with bounds, an enum, or an object of these{_hint(kind)}")
        return
    for key in schema:
        if key not in _KEYS[kind]:
            tell(f"{place}: unknown key {key!r}{nearest(key, _KEYS[kind])}")
    if kind == "integer":
        _check_integer(schema, tell, place)
    elif kind == "enum":
        _check_enum(schema, tell, place)
    elif kind == "object":
        _check_object(schema, tell, place)


def _hint(kind: object) -> str:
    if kind == "string":
        return '; free text is none: list the texts, enum = ["up", "down"]'
    return f"; has type {kind!r}" if kind is not None else "; type is missing"


def _check_integer(schema: dict[str, Any], tell: Callable[[str], None], place: str) -> None:
    bounds = [schema.get(key) for key in ("minimum", "maximum")]
    if any(not isinstance(bound, int) or isinstance(bound, bool) for bound in bounds):
        tell(f"{place}: an integer needs minimum and maximum, both whole numbers")
    elif bounds[0] > bounds[1]:  # type: ignore[operator]
        tell(f"{place}: minimum {bounds[0]} is above maximum {bounds[1]}")


def _check_enum(schema: dict[str, Any], tell: Callable[[str], None], place: str) -> None:
    values = schema["enum"]
    if not isinstance(values, list) or not values:
        tell(f"{place}: enum is a list of at least one value")
    elif any(not isinstance(value, str | int) for value in values):
        tell(f"{place}: an enum holds texts, whole numbers, true and false")
    elif len({(type(value), value) for value in values}) < len(values):
        tell(f"{place}: a value stands twice in the enum")


def _check_object(schema: dict[str, Any], tell: Callable[[str], None], place: str) -> None:
    properties = schema.get("properties")
    required = schema.get("required", [])
    if schema.get("additionalProperties", False) is not False:
        tell(f"{place}: additionalProperties is false, always")
    if not isinstance(properties, dict) or not properties:
        tell(f"{place}: an object needs properties")
        return
    if not isinstance(required, list):
        tell(f"{place}: required is a list of keys")
        required = []
    for key in required:
        if key not in properties:
            tell(f"{place}: required has {key!r}, which is no property{nearest(str(key), properties)}")
    if place.count(".") >= _DEEPEST:
        tell(f"{place}: nested too deeply")
        return
    for key, inner in properties.items():
        check_schema(inner, tell, f"{place}.{key}")


def millibits(schema: dict[str, Any]) -> int:
    """Most that one fact can tell, in thousandths of a bit, rounded up.

    The logarithm of how many values each part can have, added up; that an optional part is there or not is one bit
    more. That is a little above the exact count: an absent part has no value.
    """
    return math.ceil(_bits(schema) * 1000 - 1e-6)


def _bits(schema: dict[str, Any]) -> float:
    if "enum" in schema:
        return math.log2(len(schema["enum"]))
    if schema["type"] == "boolean":
        return 1.0
    if schema["type"] == "integer":
        return math.log2(schema["maximum"] - schema["minimum"] + 1)
    required = schema.get("required", [])
    return sum(_bits(inner) + (key not in required) for key, inner in schema["properties"].items())


def fact(schema: dict[str, Any], text: str | bytes) -> bytes:
    """The fact in a JSON text, written anew with its keys in the schema's order.

    Raises InputError that names the part and what it must be, and never its value: that may be what is to stay.
    """
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise InputError("not a fact: no JSON text") from None
    return msgspec.json.encode(_read(schema, value, "the fact"))


def _read(schema: dict[str, Any], value: object, place: str) -> object:
    if "enum" in schema:
        for known in schema["enum"]:
            if type(known) is type(value) and known == value:
                return known
        raise InputError(f"{place} is none of the values that its enum has")
    if schema["type"] == "boolean":
        if not isinstance(value, bool):
            raise InputError(f"{place} must be true or false")
        return value
    if schema["type"] == "integer":
        low, high = schema["minimum"], schema["maximum"]
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise InputError(f"{place} must be a whole number from {low} to {high}")
        return value
    if not isinstance(value, dict):
        raise InputError(f"{place} must be an object")
    return _read_object(schema, value, place)


def _read_object(schema: dict[str, Any], value: dict[str, object], place: str) -> dict[str, object]:
    properties = schema["properties"]
    if any(key not in properties for key in value):
        raise InputError(f"{place} has a key besides {', '.join(properties)}")
    for key in schema.get("required", []):
        if key not in value:
            raise InputError(f"{place} lacks {key!r}")
    return {key: _read(inner, value[key], f"{place}.{key}") for key, inner in properties.items() if key in value}

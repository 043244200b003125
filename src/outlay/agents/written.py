"""How quantities are written in goal files: types whose metadata the reader and the JSON schema follow."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

Seconds = Annotated[float, Meta(extra_json_schema={"format": "duration"}, extra={"unit": "duration"})]
"""Written as seconds or as a text such as `90s`, `5m`, `2h`, `1h30m`."""
Tokens = Annotated[int, Meta(extra_json_schema={"format": "tokens"}, extra={"unit": "tokens"})]
"""Written as a number or as a text such as `200k`, `1.5M`."""
UsdPico = Annotated[int, Meta(extra_json_schema={"format": "usd"}, extra={"unit": "usd"})]
"""Written in USD; held in picodollars."""
Count = Annotated[int, Meta(ge=1)]
"""A whole number, at least 1."""
Spawns = Annotated[int, Meta(ge=0)]
"""A whole number, 0 for none."""

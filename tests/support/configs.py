"""Configurations made from opencode's own JSON schema, with secrets whose places are known.

Our own strategy: hypothesis-jsonschema knows no `prefixItems`, and cannot say which of its texts are secrets.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

SCHEMA_FILE = Path(__file__).parents[1] / "fixtures/schemas/config-1.18.33.json"
SCHEMA: dict[str, Any] = json.loads(SCHEMA_FILE.read_text())
SECRET_PLACES = re.compile(
    r"(?:^|\.)(?:headers\.(?!accept$|content-type$|user-agent$).+|oauth\.clientSecret|options\.apiKey|(?:environment|env)\.[A-Z_]*(?:TOKEN|KEY|SECRET|PASSWORD)"
    r"|.*(?:apiKey|api_key|password|token|clientSecret|secret))$",
    re.IGNORECASE,
)
"""Members of the schema whose text is a secret whatever it looks like; free members of such names, too."""
PLAIN = ["plain", "x/claude-sonnet", "", "a b", "https://h.invalid/a?b=c", "*.md", "npx", "--port", "8080", "true", "/usr/bin/x", "ünï ☃", "@scope/name@1.2.3"]
RICH = ["mcp", "provider", "plugin", "lsp", "formatter"]
"""Members that have most of what may be a secret."""
NAMES = [
    "a",
    "b-c",
    "b.c",
    "read",
    "API_KEY",
    "Authorization",
    "X-Custom",
    "GITHUB_TOKEN",
    "NODE_ENV",
    "apiKey",
    "password",
    "nested",
    "content-type",
    "*secret*",
]
PLACEHOLDERS = ["{env:HOME}", "Bearer {env:MY_TOKEN}", "{file:~/.key}", "https://h.invalid/{env:ORG}/x"]


@dataclass
class Config:
    """`secrets`: what must not be in anything that is pushed, each unlike any other."""

    value: dict[str, Any]
    secrets: list[str] = field(default_factory=list)

    def elsewhere(self) -> Config:
        """The same on a machine with other secrets."""
        text = json.dumps(self.value)
        for secret in self.secrets:
            text = text.replace(secret, _other(secret))
        return Config(json.loads(text), [_other(secret) for secret in self.secrets])


def _other(secret: str) -> str:
    return secret[:-4] + "zQ9x"


@st.composite
def configs(draw: st.DrawFn, *, secrets: bool = True) -> Config:
    """A configuration that opencode loads."""
    found: list[str] = []
    value = _value(draw, {"$ref": "#/$defs/Config"}, (), found if secrets else None, 0)
    assert isinstance(value, dict)
    return Config(value, found)


def _value(draw: st.DrawFn, schema: dict[str, Any], path: tuple[str, ...], secrets: list[str] | None, depth: int) -> Any:
    if "$ref" in schema:
        return _value(draw, SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]], path, secrets, depth)
    if "anyOf" in schema:
        return _value(draw, draw(st.sampled_from(schema["anyOf"])), path, secrets, depth)
    if "enum" in schema:
        return draw(st.sampled_from(schema["enum"]))
    kind = schema.get("type")
    if kind == "object":
        return _object(draw, schema, path, secrets, depth)
    if kind == "array":
        if "prefixItems" in schema:
            return [_value(draw, inner, (*path, "[]"), secrets, depth + 1) for inner in schema["prefixItems"]]
        items = [_value(draw, schema.get("items", {}), (*path, "[]"), secrets, depth + 1) for _ in range(draw(st.integers(0, 3)))]
        if secrets is not None and path[-1:] == ("command",) and draw(st.integers(0, 3)) == 0:
            items += ["--token", _secret(draw, secrets)]
        return items
    if kind == "boolean":
        return draw(st.booleans())
    if kind in ("integer", "number"):
        return draw(st.integers(1, 500))
    if kind == "string" or depth > 4:
        return draw(st.sampled_from(["#aBc123", "#000000"])) if "pattern" in schema else _text(draw, path, secrets)
    return _value(draw, draw(st.sampled_from([{"type": "string"}, {"type": "boolean"}, {"type": "integer"}, {"type": "object"}])), path, secrets, depth + 1)


def _object(draw: st.DrawFn, schema: dict[str, Any], path: tuple[str, ...], secrets: list[str] | None, depth: int) -> dict[str, Any]:
    members, free = schema.get("properties", {}), schema.get("additionalProperties", {})
    pool = sorted(members) if path else [*(name for name in sorted(members) if name != "$schema"), *RICH * 4]
    names = [*schema.get("required", ()), *draw(st.lists(st.sampled_from(pool), min_size=1, max_size=5) if members else st.just([]))]
    result = {name: _value(draw, members[name], (*path, name), secrets, depth + 1) for name in dict.fromkeys(names)}
    if free is not False and path:
        for name in draw(st.lists(st.sampled_from(NAMES), min_size=0 if members else 1, max_size=2, unique=True)):
            if name not in result and name not in members:
                result[name] = _value(draw, free if isinstance(free, dict) else {}, (*path, name), secrets, depth + 1)
    return result


def _text(draw: st.DrawFn, path: tuple[str, ...], secrets: list[str] | None) -> str:
    if secrets is None or draw(st.integers(0, 2)):
        return draw(st.sampled_from([*PLAIN, *PLACEHOLDERS]) if secrets is not None or not SECRET_PLACES.search(".".join(path)) else st.just("{env:X}"))
    if SECRET_PLACES.search(".".join(path)):
        return draw(st.sampled_from(["", "Bearer "])) + _secret(draw, secrets)
    form = draw(st.sampled_from(["ghp_{}", "see sk-ant-api03-{}", "https://u:{}@h.invalid/x", "https://h.invalid/{{env:ORG}}?api_key={}&x=1"]))
    secret = _secret(draw, secrets)
    if "ghp_" in form or "sk-ant" in form:
        secrets[-1] = secret = (secret + "A1b2" * 9)[:32] + secret[-4:]
    return form.format(secret)


def _secret(draw: st.DrawFn, secrets: list[str]) -> str:
    secrets.append(f"hidden{len(secrets):03d}x{draw(st.integers(0, 9))}k7Lm")
    return secrets[-1]

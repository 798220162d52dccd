"""Which values of a configuration are secrets, and the placeholders that travel in their place."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Path = tuple[str | int, ...]
PLACEHOLDER = re.compile(r"\{(?:env|file):[^}]*\}")
SHORTEST = 12
"""Characters of a secret that is told by its form."""
_ENV = re.compile(r"\{env:([^}]*)\}")
_NAME = re.compile(
    r"(?:api|access|secret|private|auth|session|signing|encryption)[-_]?key|^key$|secret|token|passw|passphrase|^pass$|credential|authori[sz]ation|bearer"
    r"|cookie|^auth$|(?:^|[-_])(?:pat|pwd|jwt|dsn)$|(?:^|_)KEY$|[-_]key$",
    re.IGNORECASE,
)
_NOT_A_SECRET = re.compile(r"(?:url|uri|endpoint|path|file|name|header|env|type|method|scheme|count|limit|budget|id)s?$", re.IGNORECASE)
_PLAIN_HEADERS = frozenset(
    {
        "accept",
        "accept-language",
        "accept-encoding",
        "content-type",
        "user-agent",
        "origin",
        "referer",
        "http-referer",
        "x-title",
        "anthropic-version",
        "anthropic-beta",
    }
)
_WORDS = frozenset({"true", "false", "allow", "ask", "deny"})
"""What is no secret under whatever name: patterns of permissions have any name."""
_SCHEME = re.compile(r"^(?:Bearer|Basic|Token|ApiKey|Digest)\s+(?=\S)", re.IGNORECASE)
_USERINFO = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://([^\s/@?#]+)@")
_QUERY = re.compile(r"[?&#;]([\w.-]+)=([^&#;\s]+)")
_WORD = re.compile(r"[^\s\0/?&#;=@:,]+")
_FLAG = re.compile(r"^--?([\w-]+)(?:=(.*))?$", re.DOTALL)
_ASSIGNED = re.compile(r"^([A-Za-z_][\w.-]*)\s*[=:]\s*(\S.*)$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Moved:
    """A secret that stays here. `name`: the variable that its placeholder names."""

    path: Path
    name: str


@dataclass(slots=True)
class Scrubbed:
    """`value` may travel; `names` has the secrets by the names in its placeholders."""

    value: Any
    names: dict[str, str] = field(default_factory=dict)
    moved: list[Moved] = field(default_factory=list)
    plain: list[Path] = field(default_factory=list)


def scrub(
    value: Any, known: Any, values: Mapping[str, str], taken: Callable[[str], bool], looks_secret: Callable[[str], bool], published: Any = None
) -> Scrubbed:
    """Replace secrets by `{env:NAME}`.

    `known`: the configuration as it travelled last; a secret keeps the name that it has there. `values`: the names that are in use here.
    `taken`: whether a name means something else already. `looks_secret`: a scanner's opinion of a text. `published`: what everybody with the
    vault can read already. A secret that is there stays, and is listed in `plain`: opencode-synced put it there, and a machine that still
    runs it would have a placeholder in the place of its key.
    """
    result = Scrubbed(value)
    owners: dict[str, str] = {name: text for name, text in values.items() if name not in names_in(known)}
    everywhere = names_in(value)
    for path, text, siblings in list(_texts(value)):
        spans = _spans(path, text, siblings, looks_secret)
        if not spans:
            continue
        if _at(published, path) == text:
            result.plain.append(path)
            continue
        before = _at(known, path)
        names = _names_of(before, text, spans) if isinstance(before, str) else None
        pieces, last = [], 0
        for index, (start, end) in enumerate(spans):
            secret = text[start:end]
            name = names[index] if names else ""
            if not name or (name in everywhere and values.get(name) != secret):  # here it is a variable of the user's own
                name = _new_name(path, index, secret, owners, lambda n: n in everywhere or n in names_in(known) or taken(n))
            if owners.setdefault(name, secret) != secret:  # the same name would mean two secrets
                name = _new_name(path, index, secret, owners, lambda n: n in everywhere or n in names_in(known) or taken(n))
                owners[name] = secret
            pieces += [text[last:start], f"{{env:{name}}}"]
            last = end
            result.names[name] = secret
            result.moved.append(Moved(path, name))
        result.value = _put(result.value, path, "".join([*pieces, text[last:]]))
    return result


def unscrub(value: Any, names: Mapping[str, str]) -> Any:
    """Put the secrets of this machine back."""
    if isinstance(value, str):
        return _ENV.sub(lambda found: names.get(found[1], found[0]), value)
    if isinstance(value, list):
        return [unscrub(item, names) for item in value]
    if isinstance(value, dict):
        return {key: unscrub(item, names) for key, item in value.items()}
    return value


def secret_member(value: Any, known: Any, looks_secret: Callable[[str], bool], path: Path = ()) -> Path | None:
    """Where a member is whose name holds a secret, such as a command with a token in a permission. `known`: what was published before."""
    if isinstance(value, dict):
        for key, inner in value.items():
            before = known.get(key) if isinstance(known, dict) else None
            if before is None and len(key) > SHORTEST and looks_secret(key):
                return path
            found = secret_member(inner, before, looks_secret, (*path, key))
            if found is not None:
                return found
    return None


# --- what is one ------------------------------------------------------------------------------------------------------
def _spans(path: Path, text: str, siblings: list[Any], looks_secret: Callable[[str], bool]) -> list[tuple[int, int]]:
    """The ranges of a text that are secret. Placeholders that are there stay; what is beside them is looked at like the rest."""
    hidden = PLACEHOLDER.sub(lambda found: "\0" * len(found[0]), text)
    spans = [found.span(1) for found in _USERINFO.finditer(hidden)]
    spans += [found.span(2) for found in _QUERY.finditer(hidden) if "://" in text and (_is_name(found[1]) or looks_secret(found[2]))]
    spans = sorted(span for span in spans if "\0" not in hidden[slice(*span)])
    if not spans and hidden == text:
        return _whole(path, text, siblings, looks_secret)
    for start, end in spans:
        hidden = hidden[:start] + "\0" * (end - start) + hidden[end:]
    return sorted([*spans, *(found.span() for found in _WORD.finditer(hidden) if looks_secret(found[0]))])


def _whole(path: Path, text: str, siblings: list[Any], looks_secret: Callable[[str], bool]) -> list[tuple[int, int]]:
    """The same for a text that is no address and has no placeholder."""
    if not text.strip() or text in _WORDS:
        return []
    key = next((part for part in reversed(path) if isinstance(part, str)), "")
    if isinstance(path[-1] if path else "", int):
        argument = _argument(text, siblings, int(path[-1]))
        if argument is not None:
            return [argument]
    elif _by_name(path, key, text):
        return [_after_scheme(text)]
    return [_after_scheme(text)] if looks_secret(text) else []


def _by_name(path: Path, key: str, text: str) -> bool:
    folders = [str(part).lower() for part in path[:-1]]
    if "headers" in folders[-1:]:
        return key.lower() not in _PLAIN_HEADERS
    if "environment" in folders[-1:] or "env" in folders[-1:]:
        return _is_name(key) or _random(text)
    return _is_name(key)


def _is_name(key: str) -> bool:
    """Not of a pattern or a command with such a word in it."""
    return _NAME.search(key) is not None and _NOT_A_SECRET.search(key) is None and re.search(r"[\s*?'\"]", key) is None


def _random(text: str) -> bool:
    """Long, without blanks or slashes, letters and digits mixed: a key, not a setting."""
    return len(text) >= 20 and re.fullmatch(r"[\w+=.~-]+", text) is not None and any(c.isdigit() for c in text) and any(c.isalpha() for c in text)


def _argument(text: str, siblings: list[Any], index: int) -> tuple[int, int] | None:
    """`--token=…`, `TOKEN=…`, `Header: …`, or what follows `--token`."""
    flag = _FLAG.match(text)
    if flag is not None and flag[2] and _is_name(flag[1]):
        return flag.span(2)
    assigned = _ASSIGNED.match(text)
    if assigned is not None and _is_name(assigned[1]) and "://" not in text[: assigned.end(1) + 3]:
        start = assigned.start(2)
        inner = _after_scheme(text[start:])
        return start + inner[0], start + inner[1]
    before = _FLAG.match(siblings[index - 1]) if index and isinstance(siblings[index - 1], str) else None
    if before is not None and before[2] is None and _is_name(before[1]) and flag is None:
        return 0, len(text)
    return None


def _after_scheme(text: str) -> tuple[int, int]:
    found = _SCHEME.match(text)
    return (found.end() if found else 0, len(text))


# --- names ------------------------------------------------------------------------------------------------------------
def _new_name(path: Path, index: int, secret: str, owners: Mapping[str, str], taken: Callable[[str], bool]) -> str:
    """opencode-synced's names for what it moves, unless such a name means something else already."""
    for name in _candidates(path, index):
        if owners.get(name) == secret or (name not in owners and not taken(name)):
            return name
    raise AssertionError("the candidates have no end")


def _candidates(path: Path, index: int) -> Iterator[str]:
    words = [_word(part) for part in path]
    if len(path) == 4 and path[0] == "mcp" and path[2] == "headers":
        if re.fullmatch(r"[A-Z0-9_]+", str(path[3])) and not index:
            yield str(path[3])
        yield f"opencode_mcp_{words[1]}_{words[3]}"
    elif path[:1] == ("mcp",) and len(path) == 4 and path[2:] == ("oauth", "clientSecret"):
        yield f"opencode_mcp_{words[1]}_OAUTH_CLIENT_SECRET"
    base = f"opencode_{'_'.join([words[0].lower() if words else 'value', *words[1:]])}"
    yield base
    number = 2
    while True:
        yield f"{base}_{number}"
        number += 1


def _word(part: str | int) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", str(part)).strip("_").upper() or "VALUE"


def _names_of(before: str, text: str, spans: list[tuple[int, int]]) -> list[str] | None:
    """The names in a text that travelled, when it is this one with placeholders in the same places."""
    pattern, last = "", 0
    for start, end in spans:
        pattern += re.escape(text[last:start]) + r"\{env:([^}]+)\}"
        last = end
    found = re.fullmatch(pattern + re.escape(text[last:]), before, re.DOTALL)
    if found is not None:
        return list(found.groups())
    whole = _ENV.fullmatch(before)
    return [whole[1]] if whole is not None and spans == [(0, len(text))] else None


def names_in(value: Any) -> set[str]:
    """The variables that placeholders in it name."""
    return {name for _, text, _ in _texts(value) for name in _ENV.findall(text)}


# --- values -----------------------------------------------------------------------------------------------------------
def _texts(value: Any, path: Path = (), siblings: list[Any] | None = None) -> Iterator[tuple[Path, str, list[Any]]]:
    if isinstance(value, str):
        yield path, value, siblings or []
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _texts(inner, (*path, index), value)


def _at(value: Any, path: Path) -> Any:
    for part in path:
        if isinstance(value, dict) and isinstance(part, str):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return None
    return value


def _put(value: Any, path: Path, new: str) -> Any:
    if not path:
        return new
    first = path[0]
    if isinstance(value, dict):
        return {key: _put(inner, path[1:], new) if key == first else inner for key, inner in value.items()}
    return [_put(inner, path[1:], new) if index == first else inner for index, inner in enumerate(value)]

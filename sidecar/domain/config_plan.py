"""The plan: everything of opencode's set-up that travels, one row each. Paths in the vault are those of opencode-synced."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

CONFIG, DATA, STATE, HOME, ANYWHERE = "config", "data", "state", "home", ""
"""Roots on this machine; a row of ANYWHERE has an absolute path."""
JSON, LINES, FOLDER, WHOLE, PROJECTS = "json", "lines", "folder", "whole", "projects"
"""How a row merges: JSON by key, JSONL by entry, a folder file by file (by its kind), the Desktop's projects, anything else as one piece."""
DESKTOP = "state/desktop-projects.json"
TEXT = "text"
"""How a file of a folder may merge: line by line."""

_OURS_AND_OPENCODES = frozenset({"package.json", "package-lock.json", "bun.lock", "bun.lockb", "pnpm-lock.yaml", "yarn.lock", ".gitignore"})
_NEVER = frozenset({"node_modules", ".git", ".DS_Store", "Thumbs.db", "desktop.ini"})
BEING_WRITTEN = ".opencode-sidecar-"
"""What the names of files begin with that are not whole yet; a crash may leave one."""
_EXECUTABLE_FOLDERS = frozenset({"command", "commands", "plugin", "plugins", "tool", "tools", "skill", "skills", ".agents"})
EXECUTABLE_KEYS = frozenset({"mcp", "plugin", "command", "formatter", "lsp", "experimental"})
"""Members of opencode.json that can make opencode run something."""
SETS: Final[frozenset[tuple[str, ...]]] = frozenset(
    {
        *((name,) for name in ("plugin", "instructions", "enabled_providers", "disabled_providers", "favorite")),
        ("watcher", "ignore"),
        ("skills", "paths"),
        ("skills", "urls"),
    }
)
"""Arrays whose members opencode takes together, whatever their order."""


@dataclass(frozen=True, slots=True)
class Row:
    """`setting`: what turns it on (None: always), `default`: whether it is on when nothing is said. `only`: these members of a JSON file travel.

    `opencode_writes`: opencode puts its own package files beside the user's. `overrides`: the user's overrides apply to it.
    """

    root: str
    local: str
    repo: str
    policy: str
    setting: str | None = None
    default: bool = True
    secret: bool = False
    only: frozenset[str] | None = None
    opencode_writes: bool = False
    overrides: bool = False


def _file(name: str, policy: str = JSON, *, overrides: bool = False) -> Row:
    return Row(CONFIG, name, f"config/{name}", policy, overrides=overrides)


def _folder(name: str, setting: str | None = None, *, opencode_writes: bool = True) -> Row:
    return Row(CONFIG, name, f"config/{name}", FOLDER, setting, opencode_writes=opencode_writes)


ROWS: Final[tuple[Row, ...]] = (
    _file("opencode.json", overrides=True),
    _file("opencode.jsonc", overrides=True),
    _file("tui.json"),
    _file("tui.jsonc"),
    _file("AGENTS.md", TEXT),
    *(_folder(name) for name in ("agent", "agents", "command", "commands", "mode", "modes", "tool", "tools", "plugin", "plugins")),
    *(_folder(name, opencode_writes=False) for name in ("theme", "themes")),
    *(_folder(name, "includeOpencodeSkills", opencode_writes=False) for name in ("skill", "skills")),
    Row(HOME, ".agents", "config/.agents", FOLDER, "includeAgentsDir"),
    Row(STATE, "model.json", "state/model.json", JSON, "includeModelFavorites", only=frozenset({"favorite", "variant"})),
    Row(STATE, "prompt-history.jsonl", "state/prompt-history.jsonl", LINES, "includePromptStash", default=False, secret=True),
    Row(STATE, "prompt-stash.jsonl", "state/prompt-stash.jsonl", LINES, "includePromptStash", default=False, secret=True),
    Row(DATA, "auth.json", "data/auth.json", JSON, "includeSecrets", default=False, secret=True),
    Row(DATA, "mcp-auth.json", "data/mcp-auth.json", JSON, "includeSecrets", default=False, secret=True),
)
"""In the order in which results list them."""
SWITCHES: Final[dict[str, bool]] = {
    "includeConfig": False,
    "includeProjects": False,
    "autoCompact": True,
    **{row.setting: row.default for row in ROWS if row.setting is not None},
}
"""Settings that are true or false, and what they are when nobody says. Configuration stays here until someone asks for it to travel."""
LISTS: Final = ("extraConfigPaths", "extraSecretPaths", "allowSecretsIn")


@dataclass(frozen=True, slots=True)
class ConfigSettings:
    """What the user chose. `allow_secrets_in`: paths in the vault whose findings of the scanner are known to be none."""

    switches: Mapping[str, bool] = field(default_factory=lambda: dict(SWITCHES))
    extra_config: tuple[str, ...] = ()
    extra_secret: tuple[str, ...] = ()
    allow_secrets_in: tuple[str, ...] = ()

    @property
    def on(self) -> bool:
        return self.switches["includeConfig"] or self.switches["includeProjects"]

    def wants(self, row: Row) -> bool:
        return row.setting is None or self.switches[row.setting]


def settings_from(value: Mapping[str, Any]) -> tuple[ConfigSettings, list[str]]:
    """Read settings; what is not understood is left at its default and named."""
    switches, problems = dict(SWITCHES), []
    lists: dict[str, tuple[str, ...]] = {}
    for name, given in value.items():
        if name in SWITCHES:
            if isinstance(given, bool):
                switches[name] = given
            else:
                problems.append(f"{name} must be true or false")
        elif name in LISTS:
            if isinstance(given, list) and all(isinstance(item, str) and item for item in given):
                lists[name] = tuple(dict.fromkeys(given))
            else:
                problems.append(f"{name} must be a list of texts")
    return ConfigSettings(switches, *(lists.get(name, ()) for name in LISTS)), problems


def rows_for(settings: ConfigSettings, extras: Iterable[Row] = (), desktop: str | None = None) -> list[Row]:
    """The rows that are on. `extras`: those of the user's own paths. `desktop`: the file with the Desktop's project list."""
    rows = [Row(ANYWHERE, desktop, DESKTOP, PROJECTS)] if desktop is not None and settings.switches["includeProjects"] else []
    if not settings.switches["includeConfig"]:
        return rows
    return [*rows, *(row for row in ROWS if settings.wants(row)), *extras]


def extra_row(local: str, repo: str, *, secret: bool) -> Row:
    """A path of the user's own, a file or a folder."""
    return Row(ANYWHERE, local, repo, FOLDER, secret=secret)


def row_of(path: str, rows: Iterable[Row]) -> Row | None:
    """The row that a path in the vault belongs to."""
    for row in rows:
        if path == row.repo or (row.policy == FOLDER and path.startswith(f"{row.repo}/")):
            return row
    return None


def may_travel(path: str) -> bool:
    """Whether a file of a repository can belong to a row at all: opencode-synced keeps databases and sessions beside them, packages among them."""
    top, _, rest = path.partition("/")
    if top == "data":
        return any(path == row.repo for row in ROWS)
    return top in ("config", "secrets", "state") and not any(part == "node_modules" or part.startswith(BEING_WRITTEN) for part in rest.split("/"))


def _never(part: str) -> bool:
    return part in _NEVER or part.startswith(BEING_WRITTEN)


def excluded(row: Row, rest: str) -> bool:
    """Whether a file inside a folder's row is opencode's own or no part of a set-up. `rest`: relative, with slashes."""
    parts = rest.split("/")
    if any(_never(part) for part in parts):
        return True
    return row.opencode_writes and len(parts) == 1 and parts[0] in _OURS_AND_OPENCODES


def policy_of(row: Row, path: str, content: bytes) -> str:
    """How one file merges."""
    if row.policy != FOLDER:
        return row.policy
    if path.endswith((".json", ".jsonc")):
        return JSON
    if b"\0" in content:
        return WHOLE
    try:
        content.decode()
    except UnicodeDecodeError:
        return WHOLE
    return TEXT


def runs_code(path: str, keys: Iterable[str] = ()) -> bool:
    """Whether a change of this file can make opencode run something that it did not run before. `keys`: changed members of a JSON file."""
    parts = path.split("/")
    if len(parts) > 2 and parts[0] == "config" and parts[1] in _EXECUTABLE_FOLDERS:
        return True
    return path in ("config/opencode.json", "config/opencode.jsonc") and any(key in EXECUTABLE_KEYS for key in keys)

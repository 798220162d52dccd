"""The rules that keep dependencies pointing one way."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
MODULES = sorted([*ROOT.glob("protocol/**/*.py"), *ROOT.glob("sidecar/**/*.py")])
STDLIB_ONLY_DOMAIN = {"msgpack", "msgspec", "attrs", "attr", "cattrs", "pygls", "git", "sqlite3", "zstandard", "rich", "filelock", "subprocess"}


def imports(path: Path) -> Iterator[str]:
    """Modules imported at run time, wherever in the file; those for types only do not count."""

    def visit(node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
        for child in ast.iter_child_nodes(node):
            yield from visit(child)

    return visit(ast.parse(path.read_text(encoding="utf-8")))


def layer(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:2]) if parts[0] == "sidecar" else parts[0]


FORBIDDEN = {
    "protocol": ("sidecar", "cattrs", "pygls", "lsprotocol", "git", "sqlite3"),
    "sidecar.domain": ("sidecar.services", "sidecar.adapters", "sidecar.rpc", "sidecar.app", "protocol", *STDLIB_ONLY_DOMAIN),
    "sidecar.services": ("sidecar.adapters", "sidecar.rpc", "sidecar.app", "pygls", "cattrs", "git", "sqlite3", "subprocess"),
    "sidecar.adapters": ("sidecar.services", "sidecar.rpc", "sidecar.app", "protocol", "pygls", "cattrs"),
    "sidecar.rpc": ("sidecar.adapters", "sidecar.cli", "git", "sqlite3"),
}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    for name in imports(path):
        for forbidden in FORBIDDEN.get(layer(path), ()):
            assert not f"{name}.".startswith(f"{forbidden}."), f"{layer(path)} must not import {name}"


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("pygls", "sidecar/rpc/"),
        ("git", "sidecar/adapters/git/"),
        ("sqlite3", "sidecar/adapters/"),
        ("cattrs", "sidecar/rpc/"),
        ("detect_secrets", "sidecar/adapters/"),
    ],
)
def test_each_library_has_one_home(package: str, allowed: str) -> None:
    for path in MODULES:
        where = path.relative_to(ROOT).as_posix()
        if any(name == package or name.startswith(package + ".") for name in imports(path)):
            assert where.startswith((allowed, "sidecar/demo")), f"{where} imports {package}"


def test_only_the_outermost_reads_the_environment() -> None:
    for path in MODULES:
        where = path.relative_to(ROOT).as_posix()
        if "os.environ" in path.read_text(encoding="utf-8"):
            assert where in ("sidecar/settings.py", "sidecar/rpc/handshake.py", "sidecar/adapters/git/env.py") or where.startswith("sidecar/demo"), where


def test_modules_stay_small() -> None:
    sizes = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert max(sizes.values()) <= 400, max(sizes, key=lambda path: sizes[path])
    assert sorted(sizes.values())[len(sizes) // 2] <= 150

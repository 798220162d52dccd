"""What a project's checkout says it is."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sidecar.adapters.git.run import Git
from sidecar.domain.errors import SidecarError
from sidecar.domain.identity import normalise_origin


@dataclass(frozen=True, slots=True)
class Checkout:
    """`cached_id`: what opencode wrote to `.git/opencode`; `roots`: root commits, sorted."""

    origin: str | None
    roots: tuple[str, ...]
    cached_id: str | None


def checkout_stamp(worktree: str) -> str:
    """Changes when the answer of `describe_checkout` may change. Empty when there is no repository."""
    stamps = []
    for name in ("config", "opencode", "HEAD"):
        with contextlib.suppress(OSError):
            stat = (Path(worktree) / ".git" / name).stat()
            stamps.append(f"{name}:{stat.st_mtime_ns}:{stat.st_size}")
    if not stamps:
        with contextlib.suppress(OSError):
            stamps.append(f"file:{(Path(worktree) / '.git').stat().st_mtime_ns}")
    return ",".join(stamps)


def describe_checkout(worktree: str, environ: Mapping[str, str]) -> Checkout | None:
    """None when there is no git checkout at `worktree`."""
    if not (Path(worktree) / ".git").exists():
        return None
    git = Git(Path(worktree), environ)
    try:
        common = Path(worktree, git.run("rev-parse", "--git-common-dir").decode("utf-8", "surrogateescape").strip())
        url = git.run("config", "--get", "remote.origin.url", ok=(0, 1)).decode("utf-8", "replace").strip()
        roots = git.run("rev-list", "--max-parents=0", "HEAD", ok=(0, 128)).decode().split()
    except SidecarError:
        return None
    cached: str | None = None
    with contextlib.suppress(OSError, UnicodeDecodeError):
        cached = (common / "opencode").read_text().strip() or None
    return Checkout(normalise_origin(url) if url else None, tuple(sorted(roots)), cached)

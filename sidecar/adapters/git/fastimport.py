"""The stream that makes one commit with `git fast-import`. Pure but for reading the files given as paths."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

IDENTITY = "opencode-sidecar <sidecar@localhost>"
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Stored:
    """A blob that the repository has already, by git's name of it."""

    sha: str


Content = bytes | Path | Stored | None


def commit_stream(ref: str, parent: str | None, files: Mapping[str, Content], message: str, at: int, executable: Container[str] = ()) -> Iterator[bytes]:
    """Add or replace `files` (None: remove) on top of `parent`. Prints the commit's id; without the final `done` nothing is kept."""
    text = message.encode("utf-8", "replace")
    yield f"feature done\nfeature get-mark\ncommit {ref}\nmark :1\ncommitter {IDENTITY} {at} +0000\ndata {len(text)}\n".encode() + text + b"\n"
    if parent:
        yield f"from {parent}\n".encode()
    for path, content in files.items():
        if content is None:
            yield b"D " + quoted(path) + b"\n"
            continue
        if isinstance(content, Stored):
            yield b"M 100644 %s " % content.sha.encode() + quoted(path) + b"\n"
            continue
        yield (b"M 100755 inline " if path in executable else b"M 100644 inline ") + quoted(path) + b"\n"
        yield from _data(content)
    yield b"get-mark :1\ndone\n"


def _data(content: bytes | Path) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield f"data {len(content)}\n".encode()
        yield content
        yield b"\n"
        return
    with content.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        yield f"data {size}\n".encode()
        while size > 0:
            chunk = file.read(min(_CHUNK, size))
            if not chunk:
                raise OSError(f"{content} became shorter while it was read")
            size -= len(chunk)
            yield chunk
    yield b"\n"


def quoted(path: str) -> bytes:
    """A path as fast-import reads it back, whatever characters it has. Raises ValueError for one that no tree may hold."""
    parts = path.split("/")
    if "\0" in path or any(part in ("", ".", "..") or part.lower() == ".git" for part in parts):
        raise ValueError(f"not a path inside a tree: {path!r}")
    raw = path.encode("utf-8", "surrogateescape")
    return b'"' + raw.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n") + b'"'

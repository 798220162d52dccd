"""Whether strangers can read the remote: asked before anything readable goes there, and again from time to time.

What goes there sealed needs no such answer. A folder is as private as the file system makes it. A repository on GitHub is what gh says: a
public one is refused whatever the user says. Of anything else only the user can know, and says so for one address: the
acknowledgement is kept with a fingerprint of it, and counts for no other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sidecar.domain.errors import SidecarError
from sidecar.domain.identity import normalise_origin
from sidecar.domain.task import Task

if TYPE_CHECKING:
    from sidecar.adapters.git import RemoteUrl

ASK_AGAIN_MS = 24 * 3600 * 1000
RETRY_MS = 3600 * 1000
"""How soon to ask again when nobody answered."""
PRIVATE, INTERNAL, PUBLIC, UNKNOWN = "private", "internal", "public", "unknown"
_PORTS = {"https": 443, "http": 80, "ssh": 22}


@dataclass(frozen=True, slots=True)
class Known:
    """Of one address. `visibility`: as it was last seen, at `at` (Unix milliseconds). `due`: when to ask again."""

    acknowledged: bool = False
    visibility: str = UNKNOWN
    at: int = 0
    due: int = 0


class PrivacyGate:
    """`ask`: private, internal, public, or unknown (no gh, not logged in, no network, another host). `load`, `save`: our file, None when there is none."""

    def __init__(self, load: Callable[[], bytes | None], save: Callable[[bytes], None], ask: Callable[[RemoteUrl, Task], str], wall: Callable[[], int]) -> None:
        self._load, self._save, self._ask, self._wall = load, save, ask, wall

    def require(self, url: RemoteUrl, task: Task, *, acknowledged: bool) -> None:
        """Before something readable goes to this address for the first time. Raises remoteNotPrivate."""
        if url.kind == "file":
            return
        known = self.known(url)
        self._judge(url, replace(known, acknowledged=known.acknowledged or acknowledged), task)

    def recheck(self, url: RemoteUrl, task: Task) -> None:
        """Before a later push: asks at most daily, but at once while the answer was that it is public. Raises remoteNotPrivate."""
        if url.kind == "file":
            return
        known, now = self.known(url), self._wall()
        if _suffices(known) and known.due - ASK_AGAIN_MS <= now < known.due:
            return
        self._judge(url, known, task)

    def look(self, url: RemoteUrl, task: Task) -> str:
        """What it is now, for people; remembered for the next cycle."""
        if url.kind == "file":
            return PRIVATE
        known = self._asked(url, self.known(url), task)
        self._remember(url, known)
        return known.visibility

    def known(self, url: RemoteUrl) -> Known:
        """What this machine remembers of an address."""
        said = self._records().get(fingerprint(url), {})
        visibility, at, due = said.get("visibility"), said.get("at"), said.get("due")
        if visibility not in (PRIVATE, INTERNAL, PUBLIC, UNKNOWN) or not isinstance(at, int) or not isinstance(due, int):
            return Known()
        return Known(said.get("acknowledged") is True, visibility, at, due)

    def keep_only(self, url: RemoteUrl) -> None:
        """The vault is at this address from now on: what was said of others counts no more."""
        records = self._records()
        kept = {name: value for name, value in records.items() if name == fingerprint(url)}
        if kept != records:
            self._save(json.dumps(kept, indent=1).encode())

    def _judge(self, url: RemoteUrl, known: Known, task: Task) -> None:
        known = self._asked(url, known, task)
        if known.visibility == PUBLIC:
            self._remember(url, known)
            raise SidecarError(
                "remoteNotPrivate",
                "This repository is public: everybody can read it.",
                detail=url.display,
                remedy="Make it private on GitHub, or move to another one with `init --move-to URL`. What was recorded stays here and goes out then.",
            )
        if not _suffices(known):
            who = "every member of its enterprise can read it" if known.visibility == INTERNAL else "nothing shows that the remote is private"
            raise SidecarError(
                "remoteNotPrivate",
                f"What goes there is not encrypted, and {who}.",
                detail=url.display,
                remedy="Check that only you can read this repository, then run the command again with --acknowledge-private; or make an encrypted vault.",
            )
        self._remember(url, known)

    def _asked(self, url: RemoteUrl, known: Known, task: Task) -> Known:
        visibility, now = self._ask(url, task), self._wall()
        if visibility == UNKNOWN:  # what was seen before still counts
            return replace(known, due=now + RETRY_MS)
        return replace(known, visibility=visibility, at=now, due=now + ASK_AGAIN_MS)

    def _remember(self, url: RemoteUrl, known: Known) -> None:
        self._save(json.dumps({**self._records(), fingerprint(url): asdict(known)}, indent=1).encode())

    def _records(self) -> dict[str, Any]:
        try:
            value = json.loads(self._load() or b"{}")
        except ValueError:
            return {}
        return {name: record for name, record in value.items() if isinstance(record, Mapping)} if isinstance(value, dict) else {}


def _suffices(known: Known) -> bool:
    return known.visibility == PRIVATE or (known.acknowledged and known.visibility != PUBLIC)


def fingerprint(url: RemoteUrl) -> str:
    """The same for every way to write one address: with or without a login, `.git`, a default port; over https or ssh."""
    place = normalise_origin(url.display) or url.display
    parts = urlsplit(url.display) if "://" in url.display else None
    port = parts.port if parts is not None and parts.port not in (None, _PORTS.get(parts.scheme)) else ""
    return hashlib.sha256(f"{place}#{port}".encode()).hexdigest()[:32]

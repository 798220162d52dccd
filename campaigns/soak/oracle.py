"""What people did, and so what must be there, and what must not, once every device has met every other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from tests.support.invariants import Content

Digest = int
"""Of (table, key, content): one version of a row."""


def digest(table: str, key: str, content: object) -> Digest:
    return hash((table, key, content))


class Oracle:
    """Ids of rows are unique for ever, so that one name says what was written, by whom it was deleted, and who had changed it since."""

    def __init__(self) -> None:
        self.live: dict[str, tuple[str, ...]] = {}
        """Every row that nobody deleted, with what it hangs on: a message's session, a part's message and session."""
        self.dead: dict[str, tuple[str, ...]] = {}
        """Rows that were gone everywhere at a checkpoint: none of them may come back."""
        self.strange: set[str] = set()
        """Rows that the other devices cannot hold, and what hangs on them: they stay where they were made."""
        self._touched: dict[str, set[int]] = defaultdict(set)
        self._deleted: dict[str, set[int]] = defaultdict(set)
        self._unpublished: dict[int, set[str]] = defaultdict(set)
        self._forgetful: set[int] = set()
        self._loose: set[str] = set()
        self._undone: dict[tuple[int, str], set[str]] = {}
        """(device, session) -> messages that it showed when an undo was opened there."""
        self._partly: dict[int, set[str]] = defaultdict(set)
        self._written: dict[int, dict[tuple[str, str], Digest]] = defaultdict(dict)
        self.recorded: dict[Digest, str] = {}
        """Versions that existed at a scan: each must be in a database, a log or a journal for ever."""

    # --- what happened ----------------------------------------------------------------------------------------------
    def born(self, key: str, *above: str) -> None:
        self.live[key] = above
        if self.strange.intersection(above):
            self.strange.add(key)

    def wrote(self, device: int, table: str, key: str, content: object, *above: str) -> None:
        """A version of a row. `above`: what it keeps alive beside itself (a session by any of its rows, a message by none of its parts)."""
        for name in (key, *above):
            self._touched[name].add(device)
        if content:
            self._written[device][table, key] = digest(table, key, content)
        else:  # an emptied list leaves nothing that could be found
            self._written[device].pop((table, key), None)

    def touched(self, device: int, key: str) -> None:
        """A write that keeps this alive, and of which no version is looked for."""
        self._touched[key].add(device)

    def deleted(self, device: int, key: str, below: Iterable[str] = ()) -> None:
        """`below`: what went with it. A scan that finds a whole session gone looks no further: what was deleted in it before is part of that."""
        for other in [other for other in self._unpublished[device] if key in self.live.get(other, ()) and key.startswith("ses_")]:
            self._deleted[other].discard(device)
        self._deleted[key].add(device)
        self._unpublished[device].add(key)
        for gone in (key, *below):
            for table in ("session", "message", "part", "todo"):
                self._written[device].pop((table, gone), None)

    def undone(self, device: int, session: str, messages: Iterable[str]) -> None:
        """An undo was opened, with these messages in the session."""
        self._undone[device, session] = set(messages)

    def swept(self, device: int, session: str, messages: Iterable[str]) -> None:
        """opencode deleted these with what had been undone: what had come in since nobody had seen, and it may come back."""
        if (device, session) in self._undone:
            self._loose |= set(messages) - self._undone[device, session]

    def scanned(self, device: int) -> None:
        """A cycle of this device recorded everything that its database held."""
        self.remade(device)
        self.recorded.update((version, f"{table} {key}") for (table, key), version in self._written.pop(device, {}).items())
        self._unpublished.pop(device, None)

    def remade(self, device: int) -> None:
        """It has a shadow again, if it had none."""
        if device not in self._forgetful:
            return
        self._forgetful.discard(device)
        unpublished = self._unpublished[device]
        self._loose |= unpublished
        # A shadow made anew takes the group of such a row for one that has not come yet, as it may well be. Until a cycle has applied it, a
        # deletion of that device says that it did not see that group: what it deletes in this session, or the session itself, comes back once.
        self._partly[device].update(above for key in unpublished for above in self.live.get(key, ()))

    def forgot(self, device: int) -> None:
        """It has no shadow: deletions that were not recorded before, and until it has one, cannot be told from rows that never came."""
        self._forgetful.add(device)

    def restored(self, sessions: Iterable[str]) -> None:
        """Somebody took a cycle back: what it had deleted is here again, and what that had brought back is gone again."""
        self._loose.update(sessions)

    # --- what must hold ----------------------------------------------------------------------------------------------
    def check(self, content: Content) -> None:
        """At a checkpoint: `content` is what all devices hold. Then forget what is settled."""
        present = {key for table in ("session", "message", "part") for key in content[table]}
        for key, above in self.live.items():
            chain = (key, *above)
            if key in present or self._loose.intersection(chain) or self.strange.intersection(chain):
                continue
            assert any(self._deleted.get(name) for name in chain), f"I2: nobody deleted {key} of {above}, and it is gone"
        back = {
            key
            for key, above in self.dead.items()
            if key in present
            and not self._loose.intersection((key, *above))
            and not any(name in self.dead and self._touched.get(name) for name in (key, *above))
        }  # what somebody found in a backup of the database, and went on with, is theirs again
        assert not back, f"I3: {sorted(back)[:5]} were deleted, gone everywhere, and are back"
        for key, who in self._deleted.items():
            chain = (key, *(self.live.get(key) or self.dead.get(key, ())))
            if not who or key not in present or self._loose.intersection(chain) or any(self._partly[device].intersection(chain) for device in who):
                continue
            assert self._touched[key] - who or len(who) > 1, f"I3: {key} was deleted on device {sorted(who)}, nobody else had touched it, and it is still there"
        self._settle(present)

    def _settle(self, present: set[str]) -> None:
        everything = self.live | self.dead
        self.live = {key: above for key, above in everything.items() if key in present or self.strange.intersection((key, *above))}
        self.dead = {key: above for key, above in everything.items() if key not in self.live}
        self._touched.clear()
        self._deleted.clear()
        self._loose.clear()
        self._partly.clear()

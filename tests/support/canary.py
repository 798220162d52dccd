"""Words planted where a person's secrets are, and every form in which they might leave."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote


class Canary:
    """`word(place)`: one for each place, with a letter that each encoding writes in its own way."""

    def __init__(self) -> None:
        self.words: dict[str, str] = {}

    def word(self, place: str) -> str:
        return self.words.setdefault(place, f"zq{len(self.words):02d}kanärie{len(self.words):02d}qz")

    def plain(self, place: str) -> str:
        """For places that take ASCII letters alone."""
        return self.words.setdefault(place, f"zq{len(self.words):02d}kanarie{len(self.words):02d}qz")

    def found_in(self, data: bytes, *places: str) -> list[str]:
        """Places whose word is in the data in any form; no places: all of them."""
        lower = data.lower()
        return [place for place in places or self.words if any(form in (lower if ignore_case else data) for form, ignore_case in _forms(self.words[place]))]


def _forms(word: str) -> list[tuple[bytes, bool]]:
    raw = word.encode()
    found = [(raw, False), (raw.hex().encode(), True), (json.dumps(word)[1:-1].encode(), True), (quote(word).lower().encode(), True)]
    found += [(word.encode("utf-16-le"), False), (word.encode("latin-1"), False), (raw[::-1], False)]
    for shift in range(3):  # base64 of a text that the word stands somewhere in
        whole = base64.b64encode(b"\0" * shift + raw)
        found.append((whole[4 if shift else 0 : -4], False))
        found.append((base64.urlsafe_b64encode(b"\0" * shift + raw)[4 if shift else 0 : -4], False))
    return found

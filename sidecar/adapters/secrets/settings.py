"""An opinion of one value of a configuration, or of one file of it: the rules for transcripts, and shorter keys of their forms.

A setting is no prose: what begins like a key in it is one, whatever its length; an alarm for nothing costs a placeholder.
"""

from __future__ import annotations

import re

from sidecar.adapters.secrets.finder import find
from sidecar.adapters.secrets.rules import BEGINNINGS

_STARTS = re.compile(rf"(?<![A-Za-z0-9_-])(?:{BEGINNINGS})[A-Za-z0-9_-]{{12,}}", re.A)


def looks_secret(text: str) -> bool:
    return _STARTS.search(text) is not None or bool(find(text))


def secret_line(data: bytes) -> int | None:
    """The first line of a file that holds what looks like a secret, from 1."""
    text = data.decode("utf-8", "replace")
    places = [found.start() for found in [_STARTS.search(text)] if found is not None] + [start for start, _, _ in find(text)[:1]]
    return text.count("\n", 0, min(places)) + 1 if places else None

"""Credentials for GitHub that the user has given to gh, when git itself has none."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from urllib.parse import urlsplit


def helper_for(url: str, environ: Mapping[str, str]) -> dict[str, str]:
    """A setting by which git asks gh last, after the user's own helpers, and for this host alone; empty when gh cannot help.

    git starts gh itself: the token goes from one to the other through a pipe, and never through us, an argument or a file.
    """
    if not url.startswith("https://"):
        return {}
    from sidecar.adapters.github.names import is_github
    from sidecar.adapters.process.spawn import which

    host = urlsplit(url).hostname or ""
    gh = which("gh", None, environ) if is_github(host, environ) else None
    if gh is None:
        return {}
    # git hands it to a shell, on Windows to its own, which takes a backslash for an escape.
    program = shlex.quote(gh.replace(os.sep, "/"))
    return {f"credential.https://{host}.helper": f"!{program} auth git-credential"}

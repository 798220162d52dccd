"""A scanner's opinion of a text: the rules of detect-secrets for keys of known services, and the prefixes of newer ones."""

from __future__ import annotations

import re
from functools import cache

_NOISY = frozenset({"Public IP (ipv4)", "Secret Keyword", "Base64 High Entropy String", "Hex High Entropy String"})
"""Rules that find too much in ordinary text; names of members say more (sidecar.domain.config_secrets)."""
_PREFIXES = re.compile(
    r"\b(?:sk-(?:ant-|proj-|or-|live-)?[\w-]{16,}|(?:sk|rk|pk)_(?:live|test)_\w{16,}|xai-\w{20,}|gsk_\w{20,}|AIza[\w-]{30,}|hf_\w{20,}|pplx-\w{20,}|tvly-[\w-]{16,}"
    r"|github_pat_\w{20,}|gh[pousr]_\w{20,}|glpat-[\w-]{16,}|npm_\w{30,}|pypi-[\w-]{40,}|dop_v1_\w{30,}|xox[abposr]-[\w-]{10,}|lin_api_\w{20,}|ntn_\w{20,}"
    r"|AKIA[0-9A-Z]{16}|AGE-SECRET-KEY-1\w{20,})"
)


@cache
def _rules() -> list[re.Pattern[str]]:
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class

    found: list[re.Pattern[str]] = []
    plugins: dict[str, type] = get_mapping_from_secret_type_to_class()
    for kind, plugin in sorted(plugins.items()):
        if kind not in _NOISY:
            found += [rule for rule in getattr(plugin, "denylist", ()) if isinstance(rule, re.Pattern)]
    return found


def looks_secret(text: str) -> bool:
    return _PREFIXES.search(text) is not None or any(rule.search(text) for rule in _rules())


def secret_line(data: bytes) -> int | None:
    """The first line of a file that holds what looks like a secret, from 1."""
    text = data.decode("utf-8", "replace")
    if not looks_secret(text):
        return None
    return next((number for number, line in enumerate(text.splitlines(), 1) if looks_secret(line)), 1)

"""Every place where bytes that somebody else made are read. A target takes bytes; whatever it raises is a bug."""

from __future__ import annotations

from collections.abc import Callable

from tests.fuzz.targets import config, database, host, vault

TARGETS: dict[str, Callable[[bytes], None]] = {
    "segment": vault.segment,
    "zstd": vault.frame,
    "head": vault.head,
    "manifest": vault.manifest,
    "large-value": vault.large_value,
    "recovery-key": vault.recovery_key,
    "config-index": vault.config_index,
    "framing": host.framing,
    "params": host.params,
    "initialize": host.initialize,
    "url": host.url,
    "jsonc": config.edited,
    "config-merge": config.merged,
    "settings": config.settings,
    "lines": config.lines,
    "text-merge": config.text,
    "names": config.names,
    "paths": config.paths,
    "desktop": config.desktop,
    "database": database.cells,
}
SLOW = frozenset({"text-merge", "database"})
"""They start processes or make files: some hundred inputs a minute."""

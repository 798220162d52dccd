"""The wire: types, the method table, error kinds. Imports attrs only."""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.1.0"
"""Version of the distribution; checked against pyproject.toml by a test."""
PROTOCOL_VERSION: Final = 1
"""Raised when a host that speaks the old one would break."""

"""What the tests run: the sidecar of this folder, or the command in SIDECAR_UNDER_TEST (a JSON array), such as a bundle."""

from __future__ import annotations

import json
import os
import sys

SIDECAR: list[str] = json.loads(os.environ.get("SIDECAR_UNDER_TEST") or "null") or [sys.executable, "-m", "sidecar"]

"""A host at work: writes a row into its own session over and over and notes how long each write had to wait.

`python -m benchmarks.competitor DATABASE`: runs until stdin closes, then prints {"writes", "median", "p999", "max"}, milliseconds.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import threading
import time

PAUSE_SECONDS = 0.004


def main(path: str) -> None:
    db = sqlite3.connect(path, isolation_level=None, timeout=120)
    db.execute("PRAGMA synchronous=NORMAL")
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    db.execute("CREATE TABLE IF NOT EXISTS competitor (n INTEGER)")  # a table that no sync looks at
    waits: list[float] = []
    while not ended.is_set():
        began = time.perf_counter()
        db.execute("INSERT INTO competitor VALUES (1)")
        waits.append((time.perf_counter() - began) * 1000)
        db.execute("SELECT id, title FROM session ORDER BY time_updated DESC LIMIT 100").fetchall()
        time.sleep(PAUSE_SECONDS)
    waits.sort()
    at = [waits[min(len(waits) - 1, int(len(waits) * share))] for share in (0.5, 0.999)]
    print(json.dumps({"writes": len(waits), "median": round(at[0], 2), "p999": round(at[1], 1), "max": round(waits[-1], 1)}))


if __name__ == "__main__":
    main(sys.argv[1])

"""Runs our command below libfaketime, whose `clock_nanosleep` (0.9.10) refuses the absolute times with which Python sleeps."""

from __future__ import annotations

import runpy
import select
import sys
import time

time.sleep = lambda seconds: select.select([], [], [], float(seconds)) and None
sys.argv[0] = "sidecar"
runpy.run_module("sidecar", run_name="__main__", alter_sys=True)

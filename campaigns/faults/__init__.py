"""Faults of disk, network, remote, clock and machine, each really produced; what was said, and what is left of it afterwards."""

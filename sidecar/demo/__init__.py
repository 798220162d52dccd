"""The main job on real data, shown and proven: `python -m sidecar.demo`."""

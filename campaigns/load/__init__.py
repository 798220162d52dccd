"""Many requests, many sidecars, a busy day. See `__main__`."""

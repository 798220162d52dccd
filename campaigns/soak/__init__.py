"""Long random histories of many devices. See `__main__`."""

"""Routes that list, cancel and act on running requests."""

"""The inspector: the page at `/`."""

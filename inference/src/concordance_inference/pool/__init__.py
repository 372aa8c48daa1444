"""Several models in one process: loaded on demand, within a memory budget."""

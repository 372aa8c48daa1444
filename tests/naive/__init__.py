"""An executor without caches, batches and speculation, and the comparison of the engine with it."""

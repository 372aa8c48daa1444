"""The messages between engine, zygote and workers, as typed structs in MessagePack.

Every byte that a worker sends is hostile: `replies` decodes it with bounds, and any violation ends
the worker. What the engine and the zygote send is trusted.
"""

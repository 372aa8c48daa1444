"""The rows that run together, and what one step computes for them."""

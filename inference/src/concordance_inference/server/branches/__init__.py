"""Branches: the field `branch_from`, and `/v1/branches`."""

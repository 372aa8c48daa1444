"""`/v1/traces`."""

"""The keywords of JSON Schema, from draft 3 to 2020-12: the values that match or violate each."""

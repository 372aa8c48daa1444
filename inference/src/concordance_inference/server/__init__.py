"""The HTTP server: routes, schemas, streams. Knows no array."""

"""JSON Schema as a grammar: what each keyword means, and how documents are written."""

"""JSON Schema as a grammar: the semantics of each keyword, and the grammar of the documents."""

"""Who may send which requests: keys, scopes, and refusals."""

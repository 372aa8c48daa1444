"""`concordance chat`: a conversation with a model in the terminal, or with text on a pipe."""

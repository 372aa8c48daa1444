"""OpenAI's chat, completions and embeddings, and their fields."""

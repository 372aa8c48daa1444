"""`/v1/responses`: OpenAI's API in which a response is a list of items."""

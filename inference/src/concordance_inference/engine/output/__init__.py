"""The output of one request as its client receives it: tokens, text and logprobs."""

"""Strategies of the older SDK: what an answer may be, token by token.

`strategy_constructor` has what authors write; `primitives` and `list_strategy` what these become
for a tokenizer, `base` what all of them are, and what strategies of an author's own are built of.
"""

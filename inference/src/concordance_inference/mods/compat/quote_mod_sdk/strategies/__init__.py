"""Strategies of `quote_mod_sdk`: constraints that allow tokens one by one.

`strategy_constructor` has the constructors that mods use, `primitives` and `list_strategy` the
strategies that they build for a tokenizer, and `base` the protocol and the helpers with which
authors write their own.
"""

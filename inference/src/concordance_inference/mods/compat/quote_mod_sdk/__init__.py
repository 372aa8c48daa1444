"""Compatibility with mods written for `quote_mod_sdk` and `shared.types`, which run unchanged.

`names` maps the names of `quote_mod_sdk` to their implementations, and `aliases` resolves them.
`ModuleSpace` makes them importable for the sources that it loads, and for no other code. The other
modules implement what differs from `concordance_sdk`: how a mod is called (`decorator`), the action
builder (`actions`, `action_types`), events and logits (`events`, `logits`), the conversation as
dictionaries (`conversation`), the tokenizer's keywords (`tokenizer`), constraints by token
(`strategies`, `strategy_matcher`), self-prompts (`self_prompt`, `self_prompt_run`) and flows
(`flow`).

"Older" in a name means: as `quote_mod_sdk` has it.
"""

"""What mods written for `quote_mod_sdk` and `shared.types` import, so that they run unchanged.

`aliases` says which name stands for what; `ModuleSpace` offers them to the sources that it loads,
and to nobody else. The other modules are what differs from `concordance_sdk`: how a mod is called
(`decorator`), the action builder (`actions`), what an event's fields are (`events`, `logits`), the
conversation as dictionaries (`conversation`), the tokenizer's keywords (`tokenizer`).
"""

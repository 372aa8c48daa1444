"""Four small mods that come with the engine: each shows one thing that a mod can do."""

import re

from concordance_sdk import Action, Actions, Added, ForwardPass, Tokenizer, mod


@mod(max_backtrack=0)
class Greeting:
    """Every answer starts with a greeting: forces tokens instead of sampling them."""

    text: str = "Ahoy!"

    def forward_pass(
        self, event: ForwardPass, actions: Actions, tokenizer: Tokenizer
    ) -> Action | None:
        """Force the greeting at the first position."""
        if event.step == 0:
            return actions.force_tokens(tokenizer.encode(self.text))
        return None


@mod(max_backtrack=32)
class Replace:
    """Replaces a phrase wherever it appears: takes tokens back and puts others there."""

    find: str
    replacement: str

    def __init__(self) -> None:
        """Begin with an empty completion."""
        self._ids: list[int] = []
        self._checked = 0  # characters that were looked at, what was put in place among them

    def added(self, event: Added, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """Look for the phrase in the text so far."""
        self._ids[event.step :] = event.added_tokens
        text = tokenizer.decode(self._ids)
        at = text.find(self.find, self._checked)
        if at < 0:
            self._checked = max(self._checked, len(text) - len(self.find) + 1)
            return None
        kept = _tokens_before(self._ids, at, tokenizer)
        before = tokenizer.decode(self._ids[:kept])
        instead = text[len(before) : at] + self.replacement
        self._checked = at + len(self.replacement)
        behind = text[at + len(self.find) :]
        return actions.backtrack(len(self._ids) - kept, tokenizer.encode(instead + behind))


@mod(max_backtrack=32)
class Avoid:
    """Never says a word: takes it back when it appears, and does not begin it there again."""

    word: str

    def __init__(self) -> None:
        """Begin with an empty completion."""
        self._ids: list[int] = []
        self._banned: dict[int, set[int]] = {}  # position -> tokens that began the word there

    def forward_pass(self, event: ForwardPass, actions: Actions) -> Action | None:
        """Mask what began the word at this position before."""
        banned = self._banned.get(event.step)
        return actions.adjust_logits(ban=sorted(banned)) if banned else None

    def added(self, event: Added, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """Look for the word in the text so far."""
        self._ids[event.step :] = event.added_tokens
        found = re.search(
            rf"\b{re.escape(self.word)}\b", tokenizer.decode(self._ids), re.IGNORECASE
        )
        if not found:
            return None
        kept = _tokens_before(self._ids, found.start(), tokenizer)
        self._banned.setdefault(kept, set()).add(self._ids[kept])
        return actions.backtrack(len(self._ids) - kept)


@mod(max_backtrack=0)
class Sentences:
    """Ends the answer after a number of sentences: forces the end-of-sequence token."""

    count: int = 1

    def __init__(self) -> None:
        """Begin with an empty completion."""
        self._ids: list[int] = []

    def added(self, event: Added, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """Count the sentences in the text so far."""
        self._ids[event.step :] = event.added_tokens
        ends = re.findall(r"[.!?](?=\s|$)", tokenizer.decode(self._ids, skip_special_tokens=True))
        if len(ends) >= self.count and not tokenizer.eos_token_ids & {*event.added_tokens}:
            return actions.force_tokens([min(tokenizer.eos_token_ids)])
        return None


def _tokens_before(token_ids: list[int], at: int, tokenizer: Tokenizer) -> int:
    """How many tokens stand wholly before character `at` of the text."""
    kept = len(token_ids)
    while kept and len(tokenizer.decode(token_ids[:kept])) > at:
        kept -= 1
    return kept

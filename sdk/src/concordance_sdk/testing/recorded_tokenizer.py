"""A tokenizer of the tokens that a trace has."""

from collections.abc import Iterator, Sequence

from concordance_sdk.testing.recorded_logits import UnrecordedError
from concordance_sdk.testing.recorded_trace import RecordedTrace

_REMEDY = "pass the model's, as in replay(trace, tokenizer=FolderTokenizer(FOLDER))"


class RecordedTokenizer:
    """Decodes the tokens of a trace, and encodes the texts that its mods forced.

    Anything else raises an `UnrecordedError`.
    """

    def __init__(self, trace: RecordedTrace) -> None:
        """Read the texts of a trace's tokens."""
        self.vocab_size: int = trace.limits["vocab_size"]
        self.eos_token_ids = frozenset[int](trace.limits["forced_end_ids"])
        self.special_token_ids = self.eos_token_ids
        self._texts = {
            each.token_id: each.text
            for token in trace.tokens
            for each in (token, *token.alternatives)
        }
        self._prompts = {tuple(trace.prompt_ids or ()): trace.prompt}
        self._encoded = dict(self._forced(trace))

    def _forced(self, trace: RecordedTrace) -> Iterator[tuple[str, list[int]]]:
        """Yield the texts of actions, with their tokens."""
        for event in trace.events:
            ids = event.details.get("token_ids") or []
            if ids and len(ids) == event.details.get("num_tokens") and self._knows(ids):
                yield self.decode(ids), ids

    def _knows(self, token_ids: Sequence[int]) -> bool:
        texts = [self._texts.get(i) for i in token_ids]
        return all(text is not None and "\ufffd" not in text for text in texts)

    def token_bytes(self, token_id: int) -> bytes:
        """Return the bytes of a token of the trace.

        Raises:
            UnrecordedError: The trace does not have it whole.
        """
        if not self._knows([token_id]):
            raise UnrecordedError(f"the trace has no text of token {token_id}; {_REMEDY}")
        return self._texts[token_id].encode()

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text that a mod of the trace forced.

        Raises:
            UnrecordedError: None did.
        """
        if not text:
            return []
        if text not in self._encoded:
            raise UnrecordedError(
                f"the mod encodes {text!r:.80}, which no mod forced in the trace; {_REMEDY}"
            )
        return list(self._encoded[text])

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """Decode tokens of the trace, or its whole prompt.

        Raises:
            UnrecordedError: The trace does not have one of them.
        """
        if (prompt := self._prompts.get(tuple(token_ids))) is not None:
            return prompt
        skipped = self.special_token_ids if skip_special_tokens else ()
        kept = [i for i in token_ids if i not in skipped]
        return b"".join(map(self.token_bytes, kept)).decode()

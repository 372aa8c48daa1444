"""A logit bias that makes words more or less probable, token by token."""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from concordance_sdk.tokenizer import Tokenizer


class WordBias:
    """Computes a logit bias for the next token that makes words more, or less, probable.

    Each word is considered as written and capitalized, with and without a leading space. To make it
    more probable, the bias applies to its first token and, once it has begun, to the token that
    continues it. To make it less probable, the bias applies only to the token that completes it, so
    that other words with the same prefix are not affected.

    Examples:
        >>> from concordance_sdk.testing import ByteTokenizer
        >>> towards = WordBias(["ab"], strength=2.0)
        >>> towards.after([], ByteTokenizer())  # "a", "A" and the space before them
        {32: 2.0, 65: 2.0, 97: 2.0}
        >>> WordBias(["ab"], strength=-2.0).after([*b"xa"], ByteTokenizer())
        {98: -2.0}
    """

    def __init__(self, words: Sequence[str], *, strength: float) -> None:
        """Create a bias towards words, or away from them.

        Args:
            words: The words or phrases, at least one.
            strength: The amount added to a token's logit, in nats; multiplies its odds by
                `exp(strength)`. Negative values make the words less probable.

        Raises:
            ValueError: There is no word, or an empty one.
        """
        if not words or not all(words):
            raise ValueError(f"bias at least one word, none of which is empty: {words!r}")
        self._words = tuple(words)
        self._strength = strength
        self._prefixes: dict[int, list[_Prefix]] | None = None  # by their last token
        self._first: dict[int, bool] = {}  # first tokens; True if one completes a word

    def after(self, token_ids: Sequence[int], tokenizer: Tokenizer) -> dict[int, float]:
        """Return the bias of the next token.

        Args:
            token_ids: The completion so far.
            tokenizer: The model's tokenizer.

        Returns:
            Token id -> bias, for `actions.adjust_logits(bias=...)`.
        """
        if self._prefixes is None:
            self._prefixes = self._encoded(tokenizer)
        prefixes = self._prefixes.get(token_ids[-1], ()) if token_ids else ()
        continuations = {
            prefix.next: prefix.completes
            for prefix in prefixes
            if tuple(token_ids[-len(prefix.token_ids) :]) == prefix.token_ids
        }
        if self._strength > 0:
            biased = sorted(continuations or self._first)
        else:
            completes = {**self._first, **continuations}
            biased = sorted(token_id for token_id in completes if completes[token_id])
        return dict.fromkeys(biased, self._strength)

    def _encoded(self, tokenizer: Tokenizer) -> dict[int, list["_Prefix"]]:
        """Return every proper prefix of every spelling, by its last token."""
        prefixes: dict[int, list[_Prefix]] = {}
        for spelling in dict.fromkeys(self._spellings()):
            token_ids = tuple(tokenizer.encode(spelling))
            if token_ids:
                is_one = len(token_ids) == 1
                self._first[token_ids[0]] = is_one or self._first.get(token_ids[0], False)
            for end in range(1, len(token_ids)):
                prefix = _Prefix(token_ids[:end], token_ids[end], end == len(token_ids) - 1)
                prefixes.setdefault(token_ids[end - 1], []).append(prefix)
        return prefixes

    def _spellings(self) -> Iterator[str]:
        for word in self._words:
            for written in (word, word[:1].upper() + word[1:]):
                yield written
                yield f" {written}"


class _Prefix(Struct, frozen=True):
    """The first tokens of a word, and the token that continues it."""

    token_ids: tuple[int, ...]
    next: int
    completes: bool  # True if `next` completes the word

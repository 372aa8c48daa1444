"""The text of a completion that grows and shrinks, token by token.

The text is what a client receives for the same tokens, without an incomplete character at its
end. It is a function of the tokens alone. The cost per token is constant for every tokenizer whose
tokens are byte sequences.
"""

from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from concordance_shared import Added, Backtrack, Event, ForwardPass, Prefilled, Sampled
from msgspec import Struct

from concordance_sdk.action_builder import Actions, end_token_id
from concordance_sdk.composed import ComposingEncoder
from concordance_sdk.one_request import OneRequest
from concordance_sdk.request_context import num_given
from concordance_sdk.tokenizer import Tokenizer, detokenizer_of

if TYPE_CHECKING:
    from concordance_sdk.detokenizer import Detokenizer

#: Number of tokens decoded as context, to see what text further tokens add.
_OVERLAP = 8


class Cut(Struct, frozen=True, kw_only=True):
    """A position in a completion's text, and what to backtrack to remove the text from there on.

    The position can be inside a token. For the tokens "a", " red", " hat" and `at=3`:

        text       a   r e d   h a t
        at               ^ 3              kept = 1, num_tokens = 2
        tokens    |a|  r e d|  h a t|     before = " r", after = "ed hat"

    Attributes:
        at: The position, in characters.
        kept: The number of tokens to keep: those that end at or before the position.
        num_tokens: The number of tokens to backtrack: all others.
        before: The text of the first of these, up to the position.
        after: The text from the position on.

    Examples:
        >>> from concordance_sdk import Added
        >>> from concordance_sdk.testing import ByteTokenizer
        >>> text = CompletionText()
        >>> added = Added(request_id="r", step=0, added_tokens=(*b"a red hat",), forced=True)
        >>> text.follow(added, ByteTokenizer())
        >>> cut = text.cut(2)
        >>> cut.kept, cut.num_tokens, cut.after
        (2, 7, 'red hat')
    """

    at: int
    kept: int
    num_tokens: int
    before: str
    after: str


class CompletionText:
    """The text of one completion, updated from the events that a mod receives.

    Attributes:
        token_ids: The current token ids of the completion.

    Examples:
        >>> from concordance_sdk import mod
        >>> from concordance_sdk.testing import play
        >>> @mod
        ... class Lyon:
        ...     def __init__(self):
        ...         self.text = CompletionText()
        ...
        ...     def added(self, event, actions, tokenizer):
        ...         self.text.follow(event, tokenizer)
        ...         if self.text.tail(-5) == "Paris":
        ...             return self.text.rewrite(len(self.text) - 5, "Lyon", actions)
        >>> play(Lyon, says="In Paris.").text
        'In Lyon.'
    """

    def __init__(self, *, keeps_special: bool = False, kept: Collection[int] = ()) -> None:
        """Create an empty completion.

        Args:
            keeps_special: True if special tokens are part of the text, by name.
            kept: Special tokens that are part of the text in any case.
        """
        self._kept = kept
        self.token_ids: list[int] = []
        self._keeps_special = keeps_special
        self._tokenizer: Tokenizer | None = None
        self._max_tokens: int | None = None
        self._detokenizer: Detokenizer | None = None  # created with the first tokens
        self._ends: list[int] = []  # per token: the length of the text up to and including it
        self._on_cut: list[Callable[[int], None]] = []
        self._request = OneRequest("CompletionText")

    def follow(self, event: Event, tokenizer: Tokenizer) -> None:
        """Update the text from an event.

        Every `Added` event is required. The other events are optional: with `Prefilled`,
        `is_final` knows the token limit; with `ForwardPass` and `Sampled`, a backtrack is noticed
        earlier.

        Args:
            event: The event that the mod received.
            tokenizer: The tokenizer that it received with it.

        Raises:
            ValueError: An earlier `Added` event was missed.
            ModDefinitionError: It follows another request.
        """
        self._request.check(event)
        self._tokenizer = tokenizer
        if isinstance(event, Prefilled):
            self._max_tokens = event.max_steps
        if isinstance(event, ForwardPass | Sampled | Added):
            if event.step > len(self.token_ids):
                raise ValueError(
                    f"the text so far has {len(self.token_ids)} tokens and cannot continue at "
                    f"{event.step}: follow every Added event from the first one on"
                )
            self._truncate(event.step)
        if isinstance(event, Added):
            self._extend(event.added_tokens)

    def on_cut(self, callback: Callable[[int], None]) -> None:
        """Register `callback(num_chars)`, called when the text is cut to that many characters.

        This happens on a backtrack, and when new tokens change how earlier incomplete ones decode.
        """
        self._on_cut.append(callback)

    def off_cut(self, callback: Callable[[int], None]) -> None:
        """Remove a callback that `on_cut` registered."""
        self._on_cut.remove(callback)

    def between(self, begin: int, end: int) -> str:
        """Return the text that tokens `begin` to `end` added."""
        return "".join(self._pieces[begin:end])

    def __len__(self) -> int:
        """Return the number of characters."""
        return self._ends[-1] if self._ends else 0

    def __str__(self) -> str:
        """Return the text without an incomplete last character. Joins all pieces: O(length)."""
        return "".join(self._pieces)

    @property
    def _pieces(self) -> Sequence[str]:
        return self._detokenizer.pieces if self._detokenizer else ()

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the last event.

        Raises:
            ValueError: No event was followed yet.
        """
        if self._tokenizer is None:
            raise ValueError("follow an event before using what needs the tokenizer")
        return self._tokenizer

    @property
    def is_final(self) -> bool:
        """True if the completion is over unless a mod prevents it: ended, or at the token limit.

        The token limit is known only if `Prefilled` was followed.
        """
        if not self.token_ids:
            return False
        is_full = self._max_tokens is not None and len(self.token_ids) >= self._max_tokens
        return is_full or self.token_ids[-1] in self.tokenizer.eos_token_ids

    @property
    def is_whole(self) -> bool:
        """True if the last token leaves no character incomplete, so that text can be appended."""
        return self._whole(len(self.token_ids)) == len(self.token_ids)

    def tail(self, start: int) -> str:
        """Return the text from character `start` on; a negative one counts from the end.

        Costs time in proportion to the tail, not to the text.
        """
        start = max(0, start + len(self)) if start < 0 else start
        token = bisect_right(self._ends, start)
        before = self._ends[token - 1] if token else 0
        return "".join(self._pieces[token:])[start - before :]

    def cut(self, at: int) -> Cut:
        """Return what to backtrack to remove the text from character `at` on.

        Args:
            at: The number of characters to keep, at most the length of the text.
        """
        kept = self._whole(bisect_right(self._ends, at))
        begin = self._ends[kept - 1] if kept else 0
        tail = self.tail(begin)
        return Cut(
            at=at,
            kept=kept,
            num_tokens=len(self.token_ids) - kept,
            before=tail[: at - begin],
            after=tail[at - begin :],
        )

    def rewrite(self, at: int, text: str, actions: Actions) -> Backtrack | None:
        """Return the action that replaces the text from character `at` on by `text`.

        For handlers of `Added`. `None` if that changes nothing. In a completion that the request
        continues, the text of the earlier request is kept, also after `at`.

        Args:
            at: The number of characters to keep.
            text: The replacement.
            actions: The `actions` that the mod received.
        """
        cut = self._changeable(at)
        if cut.at > at:
            text = text.removeprefix(self.tail(at)[: cut.at - at])
        if text == cut.after:
            return None
        return actions.backtrack(cut.num_tokens, self.encode(cut.before + text, kept=cut.kept))

    def end(self, at: int, actions: Actions) -> Backtrack:
        """Return the action that ends the completion after `at` characters.

        In a completion that the request continues, the text of the earlier request is kept.

        Args:
            at: The number of characters to keep.
            actions: The `actions` that the mod received.
        """
        cut = self._changeable(at)
        tokens = self.encode(cut.before, kept=cut.kept)
        return actions.backtrack(cut.num_tokens, [*tokens, end_token_id(self.tokenizer)])

    def _changeable(self, at: int) -> Cut:
        """Return the cut at character `at`, or after the text of an earlier request."""
        cut, given = self.cut(at), num_given()
        if cut.kept >= given:
            return cut
        while given < len(self._ends) and self._whole(given) < given:
            given += 1  # it ends inside a character
        return self.cut(max(at, self._ends[given - 1]))

    def encode(self, text: str, *, kept: int | None = None) -> list[int]:
        """Return token ids that add exactly `text` to the completion.

        Handles tokenizers that prepend a space to every text, which is wrong after other tokens.

        Args:
            text: The text to add.
            kept: The number of tokens of the completion before it; all by default.
        """
        kept = len(self.token_ids) if kept is None else kept
        context = self.token_ids[self._whole(max(0, kept - _OVERLAP)) : kept]
        encode = self.tokenizer.encode
        token_ids = encode(text)
        if self._adds(token_ids, text, context):
            return token_ids
        spaced = encode(f" {text}")  # for tokenizers that drop a leading space
        if self._adds(spaced, text, context):
            return spaced
        return ComposingEncoder(encode, lambda ids, added: self._adds(ids, added, context)).encode(
            text
        )

    def _adds(self, token_ids: Sequence[int], text: str, context: list[int]) -> bool:
        """True if these tokens decode to `text` after `context`."""
        before = self.tokenizer.decode(context)
        return self.tokenizer.decode([*context, *token_ids]) == before + text

    def _extend(self, token_ids: Sequence[int]) -> None:
        if self._detokenizer is None:
            self._detokenizer = detokenizer_of(
                self.tokenizer, keeps_special=self._keeps_special, kept=self._kept
            )
        self.token_ids += token_ids
        self._set_ends(self._detokenizer.extend(token_ids))

    def _truncate(self, num_tokens: int) -> None:
        if num_tokens == len(self.token_ids) or self._detokenizer is None:
            return
        del self.token_ids[num_tokens:]
        self._set_ends(self._detokenizer.truncate(num_tokens))

    def _set_ends(self, unchanged: int) -> None:
        """Measure the changed pieces, and notify if earlier text was removed or changed."""
        length = self._ends[unchanged - 1] if unchanged else 0
        is_cut = unchanged < len(self._ends)
        del self._ends[unchanged:]
        for piece in self._pieces[unchanged:]:
            self._ends.append(len(self) + len(piece))
        if is_cut:
            for callback in self._on_cut:
                callback(length)

    def _whole(self, num_tokens: int) -> int:
        """Return how many of the first tokens precede a character that they leave incomplete."""
        if not num_tokens or self._detokenizer is None:
            return 0
        return self._detokenizer.whole[num_tokens - 1]

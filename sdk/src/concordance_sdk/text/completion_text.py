"""The text of a completion while it grows and shrinks, token by token.

The text is what a client sees of the same tokens, without an incomplete character at its end. It
is a function of the tokens alone. Each token costs the same, however long the completion is, for
every tokenizer whose tokens have bytes of their own.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from concordance_shared import Added, Backtrack, Event, ForwardPass, Prefilled, Sampled
from msgspec import Struct

from concordance_sdk.action_builder import Actions
from concordance_sdk.composed import ComposingEncoder
from concordance_sdk.tokenizer import Tokenizer, detokenizer_of

if TYPE_CHECKING:
    from concordance_sdk.detokenizer import Detokenizer

#: How many tokens of the completion are decoded to see what others would add behind them.
_OVERLAP = 8


class Cut(Struct, frozen=True, kw_only=True):
    """A place in a completion's text, told in tokens: what taking back from there on means.

    Attributes:
        at: How many characters of the text stand before it.
        kept: How many tokens stay: those wholly before the place.
        num_tokens: How many tokens to take back: all the others.
        before: What the first of these has of the text before the place.
        behind: The text from the place on.

    Examples:
        >>> from concordance_sdk import Added
        >>> from concordance_sdk.testing import ByteTokenizer
        >>> text = CompletionText()
        >>> added = Added(request_id="r", step=0, added_tokens=(*b"a red hat",), forced=True)
        >>> text.follow(added, ByteTokenizer())
        >>> cut = text.cut(2)
        >>> cut.kept, cut.num_tokens, cut.behind
        (2, 7, 'red hat')
    """

    at: int
    kept: int
    num_tokens: int
    before: str
    behind: str


class CompletionText:
    """The text of one completion, kept by the events that a mod is given.

    Attributes:
        token_ids: The completion's token ids, as they are now.

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

    def __init__(self, *, keeps_special: bool = False) -> None:
        """Begin with an empty completion.

        Args:
            keeps_special: Whether special tokens are part of the text, spelled out.
        """
        self.token_ids: list[int] = []
        self._keeps_special = keeps_special
        self._tokenizer: Tokenizer | None = None
        self._max_tokens: int | None = None
        self._detokenizer: Detokenizer | None = None  # made with the first tokens
        self._ends: list[int] = []  # per token: length of the text up to it
        self._on_cut: list[Callable[[int], None]] = []

    def follow(self, event: Event, tokenizer: Tokenizer) -> None:
        """Take in what an event tells of the completion.

        It needs every `Added`, and is the better informed for the others.

        Args:
            event: What the mod was given.
            tokenizer: What the mod was given with it.

        Raises:
            ValueError: An `Added` before this one was left out.
        """
        self._tokenizer = tokenizer
        if isinstance(event, Prefilled):
            self._max_tokens = event.max_steps
        if isinstance(event, ForwardPass | Sampled | Added):
            if event.step > len(self.token_ids):
                raise ValueError(
                    f"the text so far has {len(self.token_ids)} tokens and cannot go on at "
                    f"{event.step}: follow every Added event from the first one on"
                )
            self._truncate(event.step)
        if isinstance(event, Added):
            self._extend(event.added_tokens)

    def on_cut(self, callback: Callable[[int], None]) -> None:
        """Have `callback(num_chars)` called when only that many characters are left standing.

        Tokens may be removed, or new ones may change what incomplete ones before them read as.
        """
        self._on_cut.append(callback)

    def __len__(self) -> int:
        """How many characters the text has."""
        return self._ends[-1] if self._ends else 0

    def __str__(self) -> str:
        """The whole text, but for half a character at its end. Joins it: not for every token."""
        return "".join(self._pieces)

    @property
    def _pieces(self) -> Sequence[str]:
        return self._detokenizer.pieces if self._detokenizer else ()

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that came with the last event.

        Raises:
            ValueError: No event was followed yet.
        """
        if self._tokenizer is None:
            raise ValueError("follow an event before asking for what needs the tokenizer")
        return self._tokenizer

    @property
    def is_final(self) -> bool:
        """Whether nothing follows, unless a mod prevents it: ended, or the budget is spent.

        That the budget is spent is known to those that follow `Prefilled` too.
        """
        if not self.token_ids:
            return False
        is_full = self._max_tokens is not None and len(self.token_ids) >= self._max_tokens
        return is_full or self.token_ids[-1] in self.tokenizer.eos_token_ids

    @property
    def is_whole(self) -> bool:
        """Whether the last token leaves no character half said: text can be put behind it."""
        return self._whole(len(self.token_ids)) == len(self.token_ids)

    def tail(self, start: int) -> str:
        """The text from character `start` on; from the end for a negative one.

        Costs what the tail costs, not the text.
        """
        start = max(0, start + len(self)) if start < 0 else start
        token = bisect_right(self._ends, start)
        before = self._ends[token - 1] if token else 0
        return "".join(self._pieces[token:])[start - before :]

    def cut(self, at: int) -> Cut:
        """What taking back the text from character `at` on means in tokens.

        Args:
            at: How many characters are to stay, at most the text's length.
        """
        kept = self._whole(bisect_right(self._ends, at))
        begin = self._ends[kept - 1] if kept else 0
        tail = self.tail(begin)
        return Cut(
            at=at,
            kept=kept,
            num_tokens=len(self.token_ids) - kept,
            before=tail[: at - begin],
            behind=tail[at - begin :],
        )

    def rewrite(self, at: int, text: str, actions: Actions) -> Backtrack | None:
        """The action that leaves the text before character `at` and puts `text` behind it.

        For answers to `Added`. `None` where that would change nothing.

        Args:
            at: How many characters stay.
            text: What stands behind them then.
            actions: What the mod was given.
        """
        cut = self.cut(at)
        if text == cut.behind:
            return None
        return actions.backtrack(cut.num_tokens, self.encode(cut.before + text, kept=cut.kept))

    def end(self, at: int, actions: Actions) -> Backtrack:
        """The action that leaves the text before character `at` and ends the completion there.

        Args:
            at: How many characters stay.
            actions: What the mod was given.
        """
        cut = self.cut(at)
        tokens = self.encode(cut.before, kept=cut.kept)
        return actions.backtrack(cut.num_tokens, [*tokens, min(self.tokenizer.eos_token_ids)])

    def encode(self, text: str, *, kept: int | None = None) -> list[int]:
        """Token ids that add exactly `text` behind the completion.

        Some tokenizers begin every text with a space; behind other tokens it would be one too many.

        Args:
            text: What is to be added.
            kept: Behind how many of the completion's tokens; all if left out.
        """
        kept = len(self.token_ids) if kept is None else kept
        context = self.token_ids[self._whole(max(0, kept - _OVERLAP)) : kept]
        encode = self.tokenizer.encode
        token_ids = encode(text)
        if self._adds(token_ids, text, context):
            return token_ids
        spaced = encode(f" {text}")  # where a space at the start of the text is left out
        if self._adds(spaced, text, context):
            return spaced
        return ComposingEncoder(encode, lambda ids, added: self._adds(ids, added, context)).encode(
            text
        )

    def _adds(self, token_ids: Sequence[int], text: str, context: list[int]) -> bool:
        """Whether these tokens, behind those, read as `text`."""
        before = self.tokenizer.decode(context)
        return self.tokenizer.decode([*context, *token_ids]) == before + text

    def _extend(self, token_ids: Sequence[int]) -> None:
        if self._detokenizer is None:
            self._detokenizer = detokenizer_of(self.tokenizer, keeps_special=self._keeps_special)
        self.token_ids += token_ids
        self._set_ends(self._detokenizer.extend(token_ids))

    def _truncate(self, num_tokens: int) -> None:
        if num_tokens == len(self.token_ids) or self._detokenizer is None:
            return
        del self.token_ids[num_tokens:]
        self._set_ends(self._detokenizer.truncate(num_tokens))

    def _set_ends(self, unchanged: int) -> None:
        """Measure the pieces that changed, and tell if text that stood before is gone."""
        length = self._ends[unchanged - 1] if unchanged else 0
        is_cut = unchanged < len(self._ends)
        del self._ends[unchanged:]
        for piece in self._pieces[unchanged:]:
            self._ends.append(len(self) + len(piece))
        if is_cut:
            for callback in self._on_cut:
                callback(length)

    def _whole(self, num_tokens: int) -> int:
        """How many of these tokens precede a character that they leave incomplete."""
        if not num_tokens or self._detokenizer is None:
            return 0
        return self._detokenizer.whole[num_tokens - 1]

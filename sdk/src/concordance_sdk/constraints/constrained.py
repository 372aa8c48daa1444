"""A constraint as a part of a mod, and as a mod of its own."""

from collections.abc import Iterator, Sequence
from typing import Any

from concordance_shared import Action, Added, ConstraintError, ForwardPass

from concordance_sdk.action_builder import Actions
from concordance_sdk.constraints.channel_start import MAX_SPLIT, ChannelStart
from concordance_sdk.constraints.compiled import compile_constraint
from concordance_sdk.constraints.constraint import Constraint, require_constraint
from concordance_sdk.constraints.span import ConstrainedSpan
from concordance_sdk.constraints.validation import named
from concordance_sdk.follower import Follower
from concordance_sdk.mod import mod
from concordance_sdk.one_request import OneRequest
from concordance_sdk.request_context import current_request, may_write
from concordance_sdk.text import CompletionText, Cut, PhraseWatch
from concordance_sdk.tokenizer import Tokenizer


class Constrained(Follower):
    """Part of a mod that enforces a constraint on a span of the completion.

    The span begins at the first position that it is called for, or after a phrase; a self-prompt
    or flow that is being written is finished before. Tokens that the grammar determines are forced,
    all in one forward pass; otherwise the logits are masked. Where any mod backtracks, the grammar
    is rewound. Several constraints on the same text all hold.

    Belongs to one request: make it in `parts` or `__init__` of a class mod. A mod that lists it in
    `parts` forwards no events; one that decides itself when to call it forwards `forward_pass` and
    `added`.

    Examples:
        >>> from concordance_sdk import mod
        >>> from concordance_sdk.constraints import ChoicesStrat
        >>> from concordance_sdk.testing import play
        >>> @mod
        ... class Verdict:
        ...     def parts(self):
        ...         return [Constrained(ChoicesStrat(["guilty", "not guilty"]))]
        >>> play(Verdict, script="guess").text
        'guilty'
    """

    def __init__(
        self,
        constraint: Constraint,
        *,
        after: str | None = None,
        ends: bool = True,
        end_id: int | None = None,
        argmax_sampling: bool = False,
        channel: str | None = None,
    ) -> None:
        """Constrain a span.

        Args:
            constraint: The texts that are allowed.
            after: The span begins after the first occurrence of this text in the completion; by
                default, at the first position that the part is called for. Special tokens are
                matched by their names, as in `</think>`.
            ends: True if the completion ends with the span; False to continue freely.
            end_id: The token that ends the completion, instead of the model's end of sequence.
            argmax_sampling: Take the top allowed token, whatever the temperature.
            channel: The span begins where this channel does, such as `final`: after the reasoning.
                By default `final` for a model whose messages have headers, and no channel for
                others. A model without channels has `final` only.

        Raises:
            ConstraintError: It is not a constraint, `after` is empty, or both `after` and `channel`
                are given.
        """
        require_constraint(constraint, "the constraint of Constrained")
        if after is not None and not after:
            raise ConstraintError(
                "`after` is empty; give the text that the constrained span follows, or None"
            )
        if after is not None and channel is not None:
            raise ConstraintError(
                "give either `after` or `channel`: a span begins after a text, or with a channel"
            )
        self._start = ChannelStart(channel)
        self._request = OneRequest("Constrained")
        self._constraint = constraint
        self._text = CompletionText(keeps_special=True)
        self._phrase = None if after is None else PhraseWatch(self._text, after)
        #: The first step at which the span may begin, once known.
        self._due = 0 if after is None else None
        self._ends = ends
        self._end_id = end_id
        self._temperature = 0.0 if argmax_sampling else None
        self._span: ConstrainedSpan | None = None
        self._has_begun = False  # at any time, even if a mod backtracked over it since

    @property
    def max_backtrack(self) -> int:
        """Tokens that a stream holds back: a split token, or an end-of-sequence token."""
        return MAX_SPLIT if self._phrase or self._start.channel else int(not self._ends)

    @property
    def is_begun(self) -> bool:
        """True if the span has begun, and was not backtracked over since."""
        return self._span is not None

    @property
    def is_complete(self) -> bool:
        """True once the span has ended."""
        return self._span is not None and self._span.end is not None

    @property
    def answer(self) -> str | None:
        """The text of the span; `None` before it has ended."""
        return self._span.matcher.answer if self._span and self.is_complete else None

    @property
    def value(self) -> Any:
        """The value of the span's text, such as parsed JSON; `None` before it has ended."""
        return self._span.matcher.value if self._span and self.is_complete else None

    def is_writing(self, step: int) -> bool:
        """True if the position `step`, the next to be decided, is inside the span."""
        span = self._span
        if span is None or step < span.begin:
            return False
        return span.end is None or step < span.end

    def prepare(self, tokenizer: Tokenizer) -> None:
        """Compile the constraint, which is cached.

        Raises:
            ConstraintError: It cannot be enforced with this tokenizer.
        """
        compile_constraint(self._constraint, tokenizer)

    def begin(self, step: int, token_ids: Sequence[int], tokenizer: Tokenizer) -> None:
        """Begin the span at a step that the completion may have passed already.

        For a mod that calls this part itself. Otherwise the span begins at the first position that
        the part is called for, or after `after`.

        Args:
            step: The step of the first token of the span.
            token_ids: The completion's tokens from there on, without those of the event that is
                forwarded next.
            tokenizer: The model's tokenizer.

        Raises:
            ConstraintError: The constraint does not allow the tokens.

        Examples:
            >>> from concordance_sdk.constraints import ChoicesStrat
            >>> from concordance_sdk.testing import ByteTokenizer
            >>> verdict = Constrained(ChoicesStrat(["guilty", "not guilty"]))
            >>> verdict.begin(0, b"not gui", ByteTokenizer())
            >>> verdict.is_begun, verdict.is_complete
            (True, False)
        """
        span = self._begun_at(step, tokenizer)
        span.follow(step, list(token_ids))
        self._span = span

    def forward_pass(
        self, event: ForwardPass, actions: Actions, tokenizer: Tokenizer
    ) -> Action | None:
        """Force the tokens that must follow, or mask those that may not.

        Raises:
            ConstraintError: The constraint cannot be enforced with this tokenizer.
        """
        self._go_to(event, tokenizer)
        self._join(event, tokenizer)
        if self._span is None:
            is_open = self._due is not None and self._start.is_open(event.step)
            if not is_open or not self._may_begin(event.step):
                return None
            self._span = self._begun_at(event.step, tokenizer)
        if self.is_complete:
            return self._end(actions)
        if forced := self._span.forced():
            return actions.force_tokens(forced)
        mask = self._span.matcher.mask()
        return actions.adjust_logits(mask=mask, token_temp=self._temperature)

    def added(self, event: Added, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """Advance the grammar, and force the tokens that must follow.

        Raises:
            ConstraintError: Another mod put tokens there that the constraint does not allow.
        """
        self._go_to(event, tokenizer)
        self._join(event, tokenizer)
        if self._span is None and (found := self._end_of_phrase()):
            self._due = found.kept + bool(found.before)
            if not self._may_begin(found.kept):
                return None
            if found.before:
                return _split(found, self._text, actions)
            self._span = self._begun_at(found.kept, tokenizer)
        if self._span is None and self._phrase is None:
            return self._begin_in_channel(event, actions, tokenizer)
        if self._span is None or self.is_complete:
            return None
        step = max(event.step, self._span.begin)
        self._span.follow(step, event.added_tokens[step - event.step :])
        self._check_end(event)
        return self._following(self._span, actions)

    def _begin_in_channel(
        self, event: Added, actions: Actions, tokenizer: Tokenizer
    ) -> Action | None:
        """Begin where the added tokens have opened the channel, or show that it was open.

        Tokens that the model sampled before the channel was known are removed if the constraint
        does not allow them.
        """
        length = event.step + len(event.added_tokens)
        begin = self._start.opened_by(event.step, length)
        if begin is None or not self._may_begin(length):
            return None
        if split := self._start.split(length, actions, tokenizer):
            return split
        span, written = self._begun_at(begin, tokenizer), self._start.token_ids(begin, length)
        if not event.forced and span.matcher.accepts(written) < len(written):
            self._start.begin_at(begin)
            return actions.backtrack(length - begin)
        span.follow(begin, written)
        self._span = span
        return self._following(span, actions)

    def _join(self, event: ForwardPass | Added, tokenizer: Tokenizer) -> None:
        """Begin where a constraint on the same text has begun.

        That one was called first and forced tokens, so that this one was not called before them.

        Raises:
            ConstraintError: This constraint does not allow what the other one forced.
        """
        if self._span is not None or self._phrase is not None or self._has_begun:
            return
        for other in self._others():
            span = other._span  # noqa: SLF001
            is_elsewhere = other._phrase or other._start.channel != self._start.channel  # noqa: SLF001
            if span is None or span.begin > event.step or is_elsewhere:
                continue
            written = span.matcher.token_ids[: event.step - span.begin]
            if span.begin + len(written) == event.step:
                self._span = self._begun_at(span.begin, tokenizer)
                self._span.follow(span.begin, written)
                return

    def _check_end(self, event: Added) -> None:
        """Reject tokens that another constraint on the same text forced after the end of this one.

        Raises:
            ConstraintError: There are some.
        """
        span = self._span
        if span is None or span.end is None or not self._ends:
            return
        end = span.end + span.is_ended_by_eos
        is_shared = any(
            other._span and other._span.begin == span.begin  # noqa: SLF001
            for other in self._others()
        )
        if is_shared and end < event.step + len(event.added_tokens):
            raise ConstraintError(
                f"{named(self._constraint)} does not allow what another constraint on the same "
                f"text forces after {span.matcher.text[-40:]!r}; constraints on the same text must "
                "all allow it"
            )

    def _others(self) -> Iterator["Constrained"]:
        request = current_request()
        return iter(request.peers_of(self) if request else ())

    def _may_begin(self, step: int) -> bool:
        """True if no self-prompt or flow is being written; constraints may hold together."""
        return may_write(step, by=self, beside=Constrained, channel=self._start.channel)

    def _end_of_phrase(self) -> Cut | None:
        match = self._phrase.find() if self._phrase else None
        return self._text.cut(match.end) if match else None

    def _following(self, span: ConstrainedSpan, actions: Actions) -> Action | None:
        """The action after added tokens: the tokens that must follow, or the end."""
        if span.is_ended_by_eos:
            return None if self._ends else actions.backtrack(1)
        if self.is_complete:
            return self._end(actions)
        forced = span.forced()
        return actions.force_tokens(forced) if forced else None

    def _end(self, actions: Actions) -> Action | None:
        if not self._ends:
            return None
        return actions.stop() if self._end_id is None else actions.force_tokens([self._end_id])

    def _begun_at(self, step: int, tokenizer: Tokenizer) -> ConstrainedSpan:
        self._has_begun = True
        return ConstrainedSpan(
            compile_constraint(self._constraint, tokenizer).start(at_start=not step), step
        )

    def _go_to(self, event: ForwardPass | Added, tokenizer: Tokenizer) -> None:
        """Rewind to the event's position."""
        self._request.check(event)
        if self._phrase:
            self._text.follow(event, tokenizer)
            if self._due is not None and event.step < self._due:
                self._due = None
        self._start.go_to(event.step)
        if self._span and not self._span.go_to(event.step):
            self._span = None


def constrain(
    constraint: Constraint,
    *,
    name: str = "constrained",
    after: str | None = None,
    ends: bool = True,
    argmax_sampling: bool = False,
    channel: str | None = None,
) -> type[Any]:
    """Make a mod that enforces a constraint.

    Args:
        constraint: The texts that are allowed.
        name: The name that requests use.
        after: The span begins after the first occurrence of this text in the completion; by
            default, at the start.
        ends: True if the completion ends with the span; False to continue freely.
        argmax_sampling: Take the top allowed token, whatever the temperature.
        channel: The span begins where this channel does, such as `final`; see `Constrained`.

    Raises:
        ConstraintError: It is not a constraint, or where it begins is not clear.
        ModDefinitionError: The name is not one that requests can use.

    Examples:
        >>> from concordance_sdk.constraints import JsonSchema
        >>> from concordance_sdk.testing import play
        >>> flag = constrain(JsonSchema({"enum": [True, False]}), name="flag")
        >>> play(flag, script="false!").text
        'false'
    """
    Constrained(
        constraint, after=after, channel=channel
    )  # raises here what it would raise in a request

    @mod(name=name, max_backtrack=0)
    class Mod:
        """Enforces a constraint."""

        def parts(self) -> list[Constrained]:
            return [
                Constrained(
                    constraint,
                    after=after,
                    ends=ends,
                    argmax_sampling=argmax_sampling,
                    channel=channel,
                )
            ]

    return Mod


def _split(found: Cut, text: CompletionText, actions: Actions) -> Action:
    """Retokenize the token in which the phrase ends, so that a token ends with the phrase."""
    return actions.backtrack(found.num_tokens, text.encode(found.before, kept=found.kept))

"""The mod that enforces the calls of tools that a model opens by itself. The engine adds it."""

from collections.abc import Sequence

from concordance_sdk import Action, Actions, Added, ForwardPass, Tokenizer, mod
from concordance_sdk.constraints import Constrained, compile_constraint
from concordance_sdk.host import definition_of
from concordance_sdk.request_context import may_write
from concordance_sdk.text import CompletionText, Cut
from concordance_shared import ConstraintError, SchemaError

from concordance_inference.generation import ModCall
from concordance_inference.mods.compiling import COMPILE_S, compile_within
from concordance_inference.mods.enforcement_errors import violation
from concordance_inference.reasoning import Reasoning
from concordance_inference.time_limit import TimeLimitError
from concordance_inference.tools.call_grammar import CallGrammar
from concordance_inference.tools.offer import ToolOffer
from concordance_inference.tools.opening import Opening

#: The name in messages and reports: the field of the request.
NAME = "tools"


@mod(name=NAME, registered=False, max_backtrack=0)
class CallMod:
    """Enforces the grammar of calls from the marker on that opens them; before it, text is free.

    The last of the request's mods, so it sees what they force: a text in a call that the grammar
    does not allow is an error. A token that goes beyond the marker is split there.
    """

    offer: ToolOffer
    reasoning: Reasoning | None = None
    kept_ids: tuple[int, ...] = ()  # special tokens that are part of the text
    stop_token_ids: tuple[int, ...] = ()  # of the request

    def __init__(self) -> None:
        """Start with an empty completion."""
        self._text = CompletionText(kept=self.kept_ids)
        self._opening = Opening(self._text, self.offer.format.layout, self.reasoning)
        self._grammar = CallGrammar(self.offer, is_open=True)
        self._calls: Constrained | None = None

    def prepare(self, tokenizer: Tokenizer) -> None:
        """Compile the grammar.

        Raises:
            SchemaError: The arguments of a tool cannot be enforced, or not be compiled in time.
        """
        try:
            compile_within(COMPILE_S, lambda: self._compile(tokenizer))
        except (ConstraintError, TimeLimitError) as exc:
            raise _refusal(exc) from exc

    def _compile(self, tokenizer: Tokenizer) -> None:
        self._grammar.check()
        try:
            compile_constraint(self._grammar, tokenizer)
        except ConstraintError:
            self._grammar.find_fault()
            raise

    def forward_pass(
        self, event: ForwardPass, actions: Actions, tokenizer: Tokenizer
    ) -> Action | None:
        """Force or mask the next token of a call."""
        self._text.follow(event, tokenizer)
        calls = self._current()
        return calls and calls.forward_pass(event, actions, tokenizer)

    def added(self, event: Added, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """Follow the completion, and force what must follow in a call it has not ended in.

        Raises:
            ConstraintError: Another mod forced tokens that the grammar does not allow.
        """
        self._text.follow(event, tokenizer)
        try:
            action = self._following(event, actions, tokenizer)
        except ConstraintError as exc:
            raise violation(exc, event, NAME) from exc
        return actions.noop() if event.added_tokens[-1] in self.stop_token_ids else action

    def _following(self, event: Added, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        if calls := self._current():
            return calls.added(event, actions, tokenizer)
        opened = self._opening.find()
        return opened and self._begin(opened, actions, tokenizer)

    def _current(self) -> Constrained | None:
        """The constraint, unless a mod backtracked over its beginning."""
        if self._calls and not self._opening.is_found:
            self._calls = None
        return self._calls

    def _begin(self, opened: Cut, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """Begin the constraint at the end of a marker; split the token that goes beyond it."""
        calls = Constrained(self._grammar)
        if not may_write(opened.kept, by=calls):  # within a text that another mod writes
            return None
        if opened.before:
            return _split(opened, self._text, actions)
        calls.begin(opened.kept, self._text.token_ids[opened.kept :], tokenizer)
        self._calls = calls
        return None


def _split(opened: Cut, text: CompletionText, actions: Actions) -> Action:
    token_ids: Sequence[int] = text.encode(opened.before, kept=opened.kept)
    return actions.backtrack(opened.num_tokens, token_ids)


def _refusal(exc: Exception) -> SchemaError:
    """The error of a request whose tools cannot be enforced."""
    if isinstance(exc, SchemaError) and exc.param:
        return exc
    return SchemaError(f"{NAME}: {exc}", param=NAME, mod=NAME, event="prepare", step=0)


def with_calls(
    mods: Sequence[ModCall],
    offer: ToolOffer,
    reasoning: Reasoning | None,
    kept_ids: tuple[int, ...],
    stop_token_ids: tuple[int, ...] = (),
) -> tuple[ModCall, ...]:
    """Return the mods of a request and, last, the one that enforces calls.

    Args:
        mods: The other mods.
        offer: The tools.
        reasoning: How the reasoning of the completion is marked.
        kept_ids: Special tokens that are part of the text.
        stop_token_ids: The tokens that end the completion wherever they are.
    """
    parameters = {
        "offer": offer,
        "reasoning": reasoning,
        "kept_ids": kept_ids,
        "stop_token_ids": stop_token_ids,
    }
    return (*mods, ModCall(definition=_DEFINITION, parameters=parameters, name=NAME))


_DEFINITION = definition_of(CallMod)

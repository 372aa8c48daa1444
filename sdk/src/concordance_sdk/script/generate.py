"""A step of a script in which the model generates."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from concordance_shared import (
    Action,
    Added,
    AdjustedLogits,
    Backtrack,
    ForceTokens,
    ForwardPass,
    Logits,
)
from msgspec import Struct

from concordance_sdk.action_builder import Actions
from concordance_sdk.constraints import Constrained, Constraint
from concordance_sdk.script.draft import Draft
from concordance_sdk.script.logprobs import SampledLogprobs
from concordance_sdk.script.step import Scene, Step
from concordance_sdk.script.text import EndedBy, Text
from concordance_sdk.text.phrase_ban import PhraseBan
from concordance_sdk.text.phrases import PhraseWatch
from concordance_sdk.text.sentences import SentenceCount
from concordance_sdk.text.word_bias import WordBias

#: A temperature, or a function of a position's logits that returns one.
Temperature = float | Callable[[Logits], float | None]

#: What is added to logits: by token id or word; an array; or a function of a position's logits that
#: returns an array, or a mapping of token ids.
Bias = Mapping[str | int, float] | Callable[[Logits], Any] | Any

#: Tokens that the beginning of the next sentence may have, which shows that one is complete.
_NEXT_SENTENCE = 16


class GenerateOptions(Struct, frozen=True, kw_only=True, eq=False):
    """What a `Generate` step does; see `ScriptRun.generate` for each of them."""

    until: Sequence[str] = ()
    keeps_until: bool = False
    predicate: Callable[[str], object] | None = None
    sentences: int | None = None
    tokens: int | None = None
    constraint: Constraint | None = None
    channel: str | None = None
    temperature: Temperature | None = None
    bias: Bias | None = None
    ban: Sequence[str] = ()
    logprobs: bool = False


class Generate(Step):
    """Has the model generate, until one of several conditions is met."""

    name = "run.generate(...)"

    def __init__(self, options: GenerateOptions) -> None:
        """Generate; see `ScriptRun.generate`."""
        super().__init__()
        self._options = options
        self._constrained = (
            None
            if options.constraint is None
            else Constrained(options.constraint, ends=False, channel=options.channel)
        )
        self._logprobs = SampledLogprobs() if options.logprobs else None
        self._biases = _Biases(options.bias) if isinstance(options.bias, Mapping) else None
        self._ban: PhraseBan | None = None
        self._watch: PhraseWatch | None = None
        self._sentences: SentenceCount | None = None
        self._num_held = 0
        self._longest = max(map(len, options.until), default=0)  # characters
        self.writer = self._constrained

    def start(self, scene: Scene) -> None:
        """Begin at the end of the draft."""
        options, draft = self._options, scene.draft
        draft.drop_end()
        self._scene = scene
        self._begin = len(draft)
        if options.ban or options.until or options.sentences or options.predicate:
            self._search(draft)
        self.held_from = self._first_held()

    def _search(self, draft: Draft) -> None:
        """Search the text from the end of the draft on."""
        options, text = self._options, draft.text
        self._first_char = begin = len(text)
        if options.ban:
            self._ban = PhraseBan(options.ban, text=text)
            self._num_held = self._ban.max_backtrack
        if options.until:
            self._watch = PhraseWatch(text, options.until, begin=begin)
        if options.sentences:
            self._sentences = SentenceCount(text, begin=begin)
            self._num_held = max(self._num_held, _NEXT_SENTENCE)

    def forward_pass(self, event: ForwardPass, actions: Actions) -> AdjustedLogits | None:
        """Adjust the logits, or force what the constraint determines."""
        options, scene = self._options, self._scene
        if options.tokens == 0:
            self._finish(EndedBy.TOKENS)
            return None
        if self._logprobs:
            self._logprobs.forward_pass(event)
        mask = None
        if self._constrained:
            action = self._constrained.forward_pass(event, actions, scene.tokenizer)
            if action is not None and not isinstance(action, AdjustedLogits):
                self._apply(action, actions)
                return None
            mask = action and action.mask
        banned = self._banned(self._ban, event, actions) if self._ban else None
        bias, temperature = self._bias(event), options.temperature
        if callable(temperature):
            temperature = temperature(event.logits)
        if mask is None and not banned and bias is None and temperature is None:
            return None
        return actions.adjust_logits(mask=mask, ban=banned, bias=bias, token_temp=temperature)

    def _bias(self, event: ForwardPass) -> Any:
        """The bias of a position; `None` for none."""
        if self._biases:
            return self._biases.after(self._scene.draft) or None
        bias: Any = self._options.bias
        bias = bias(event.logits) if callable(bias) else bias
        return None if isinstance(bias, Mapping) and not bias else bias

    def _banned(self, ban: PhraseBan, event: ForwardPass, actions: Actions) -> Sequence[int] | None:
        """The token ids that would complete a banned phrase."""
        _ = self._scene.draft.text  # follows the draft
        action = ban.forward_pass(event, actions, self._scene.tokenizer)
        return action.ban if action else None

    def added(self, event: Added, actions: Actions) -> None:
        """Check whether a condition is met."""
        draft = self._scene.draft
        if self._logprobs:
            self._logprobs.added(event)
        if self._constrained:
            self._follow_constraint(self._constrained, event, actions)
        if not self.is_done and not draft.edit:
            self._check(event, actions)
        self.held_from = self._first_held()

    def rewound(self, position: int) -> None:
        """Begin where the text of this step now begins."""
        if position < self._begin:
            self._begin = position
            self._first_char = len(self._scene.draft.text)
        self.held_from = self._first_held()

    def close(self) -> None:
        """Stop searching the text."""
        for search in (self._ban, self._watch, self._sentences):
            if search:
                search.close()

    def _first_held(self) -> int | None:
        """The step of the first token that this step may still remove."""
        if not self._num_held and not self._watch:
            return None
        draft = self._scene.draft
        first = len(draft.token_ids) - self._num_held
        if self._watch:  # the last characters may begin a text of `until`
            text = draft.text
            first = min(first, text.cut(max(0, len(text) - self._longest + 1)).kept)
        return max(self._begin, first)

    def _follow_constraint(self, part: Constrained, event: Added, actions: Actions) -> None:
        action = part.added(event, actions, self._scene.tokenizer)
        self._apply(action, actions)
        if part.is_complete and not self._is_over(self._num_tokens() - 1):
            self._finish(EndedBy.CONSTRAINT, value=part.value)
        elif part.is_complete:  # a part of it was forced at once
            self._finish_tokens()

    def _apply(self, action: Action | None, actions: Actions) -> None:
        """Make the edit of a part of this step in the draft."""
        actions.made = None  # the script returns one action, of all its edits
        draft = self._scene.draft
        match action:
            case ForceTokens(tokens):
                draft.append(tokens)
            case Backtrack(n, tokens):
                draft.cut(len(draft) - n)
                draft.append(tokens or ())
            case _:
                pass

    def _check(self, event: Added, actions: Actions) -> None:
        """Finish if a condition is met; remove what was generated beyond it."""
        options, draft = self._options, self._scene.draft
        if self._ban:
            _ = draft.text  # follows the draft
            self._apply(self._ban.added(event, actions, self._scene.tokenizer), actions)
            if draft.edit:
                return
        if self._watch and (match := self._search_for(self._watch)) is not None:
            self._finish_at(match, EndedBy.UNTIL)
        elif self._sentences and self._is_last_sentence(self._sentences):
            self._finish_at(self._sentences.ends[(options.sentences or 1) - 1], EndedBy.SENTENCES)
        elif options.predicate and options.predicate(self._produced()):
            self._finish(EndedBy.UNTIL)
        elif self._is_over(self._num_tokens()):
            self._finish_tokens()
        elif draft.has_ended:
            self._finish(EndedBy.MODEL)
        elif draft.is_full:
            self._finish(EndedBy.LENGTH)

    def _search_for(self, watch: PhraseWatch) -> int | None:
        """The character after which the text ends, if one of the phrases of `until` appeared."""
        _ = self._scene.draft.text  # follows the draft
        match = watch.find()
        if match is None:
            return None
        return match.end if self._options.keeps_until else match.start

    def _is_last_sentence(self, sentences: SentenceCount) -> bool:
        text = self._scene.draft.text
        return not text.is_final and sentences.count() >= (self._options.sentences or 1)

    def _finish_at(self, char: int, ended_by: EndedBy) -> None:
        """Finish with the text up to a character, and remove what follows it."""
        draft = self._scene.draft
        cut = draft.text.cut(char)
        tokens = draft.text.encode(cut.before, kept=cut.kept) if cut.before else []
        draft.cut(max(cut.kept, self._begin))  # an earlier step may end inside a character
        draft.append(tokens)
        self._finish(ended_by)

    def _is_over(self, num_tokens: int) -> bool:
        """True if no token may follow this number of tokens."""
        return self._options.tokens is not None and num_tokens >= self._options.tokens

    def _finish_tokens(self) -> None:
        self._scene.draft.cut(self._begin + (self._options.tokens or 0))
        self._finish(EndedBy.TOKENS)

    def _num_tokens(self) -> int:
        return self._scene.draft.num_text_tokens - self._begin

    def _produced(self) -> str:
        return self._scene.draft.text.tail(self._first_char)

    def _finish(self, ended_by: EndedBy, *, value: Any = None) -> None:
        draft = self._scene.draft
        end = self._begin + self._num_tokens()
        token_ids = draft.token_ids[self._begin : end]
        self.finish(
            Text(
                draft.text.between(self._begin, end),
                token_ids=token_ids,
                logprobs=self._logprobs.of(self._begin, end) if self._logprobs else None,
                value=value,
                ended_by=ended_by,
            )
        )


class _Biases:
    """The bias of words and tokens, for each position."""

    def __init__(self, bias: Mapping[str | int, float]) -> None:
        self._tokens = {key: value for key, value in bias.items() if not isinstance(key, str)}
        self._words = [
            WordBias([key], strength=value) for key, value in bias.items() if isinstance(key, str)
        ]

    def after(self, draft: Draft) -> dict[int, float]:
        """The bias of the token that follows a draft."""
        total = dict(self._tokens)
        for word in self._words:
            for token_id, bias in word.after(draft.token_ids, draft.tokenizer).items():
                total[token_id] = total.get(token_id, 0.0) + bias
        return total

"""What the Python API returns: a completion with its tokens, where they came from, and usage."""

from html import escape

from concordance_shared import FinishReason, ModReport, ToolCall
from msgspec import Struct
from msgspec.structs import replace

from concordance_inference.branching.about import BranchedFrom, branched_from
from concordance_inference.chat.message_reader import finish_reason, read_message
from concordance_inference.chat.readers import reader_factory
from concordance_inference.chat.resumed_reader import ShownTail
from concordance_inference.generation import (
    Completed,
    GenerationRequest,
    ReportsDelta,
    TextDelta,
    TokenLogprobs,
    TokensDelta,
    Update,
)
from concordance_inference.loop_detection import FoundLoop
from concordance_inference.trace import TokenTrace, TracedToken

_STYLES = {
    "sampled": "",
    "forced": "color:#116329;background:#dafbe1",
    "backtracked": "color:#a40e26;background:#ffebe9;text-decoration:line-through",
}


class Usage(Struct, frozen=True, kw_only=True):
    """Token counts of one request.

    Attributes:
        prompt_tokens: Tokens of the prompt.
        completion_tokens: Tokens of the completion, forced ones included.
        cached_tokens: Tokens of the prompt that were reused from an earlier request.
        forced_tokens: Tokens of the completion that mods forced.
        backtracked_tokens: Tokens that mods backtracked, without those that a mod replaced by its
            own output at the end.
        reasoning_tokens: Tokens of the completion's reasoning, without the tags around it.
    """

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    forced_tokens: int = 0
    backtracked_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def sampled_tokens(self) -> int:
        """Tokens of the completion that were sampled."""
        return self.completion_tokens - self.forced_tokens


class Completion(Struct, frozen=True, kw_only=True):
    """The result of one request. A notebook shows it coloured by provenance.

    Attributes:
        id: Names it in `LLM.resume`.
        text: The text as the model wrote it, up to the stop string if one was found: with its
            reasoning and its calls, and the special tokens around them by name. Of a resumed
            completion, what follows the earlier text.
        content: The content of the message, without reasoning and calls.
        reasoning: The reasoning of the message.
        replaced: Of a resumed completion: characters at the end of the earlier text that are not
            part of the whole one, such as half of a character.
        branch: Where the completion branched off another one, if it is a branch.
        token_ids: The completion's tokens.
        prompt_ids: The prompt's tokens, as the request gave them.
        trace: Every token in order of the text, also the backtracked ones.
        finish_reason: Why it ended, in OpenAI's words.
        usage: Token counts.
        logprobs: One entry for each token of the text, if requested.
        mean_logprob: The mean log-probability of all tokens, an end-of-sequence token included, if
            log-probabilities are requested.
        prompt_logprobs: One entry for each token of the prompt as mods left it, if requested;
            `None` for the first.
        tool_calls: The calls of tools that the model wrote in the text, and those of mods.
        reports: What mods reported, in order: `mod`, `step` and `data` of each.
        loops: The loops that were found, in order: `begin`, `period`, `repeats`, `outcome` and
            `tries` of each.
    """

    text: str
    token_ids: tuple[int, ...]
    prompt_ids: tuple[int, ...]
    id: str = ""
    replaced: int = 0
    branch: BranchedFrom | None = None
    trace: tuple[TracedToken, ...]
    finish_reason: FinishReason
    usage: Usage
    content: str = ""
    reasoning: str = ""
    logprobs: tuple[TokenLogprobs, ...] = ()
    mean_logprob: float | None = None
    prompt_logprobs: tuple[TokenLogprobs | None, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    reports: tuple[ModReport, ...] = ()
    loops: tuple[FoundLoop, ...] = ()

    @property
    def tokens(self) -> tuple[TracedToken, ...]:
        """The completion's tokens with their provenance: `trace` without backtracked ones."""
        return tuple(token for token in self.trace if not token.backtracked)

    def _repr_html_(self) -> str:
        """HTML for notebooks: the tokens coloured by provenance, under a legend."""
        legend = ", ".join(_span(name, style) for name, style in _STYLES.items())
        tokens = "".join(
            _span(token.text, _STYLES[token.provenance], _title(token)) for token in self.trace
        )
        usage = self.usage
        counts = (
            f"{escape(str(self.finish_reason))}; {usage.completion_tokens} tokens, "
            f"{usage.forced_tokens} forced, {usage.backtracked_tokens} backtracked"
        )
        return (
            f"<div><small>{legend}</small>"
            f'<pre style="white-space:pre-wrap">{tokens}</pre><small>{counts}</small></div>'
        )


class CompletionBuilder:
    """Collects the updates of one request into a `Completion`."""

    def __init__(self, request: GenerationRequest) -> None:
        """Collect the updates of `request`, which has `show_tokens`."""
        self._request = request
        beginning = request.beginning
        tail = beginning.shown.removeprefix(beginning.text) if beginning else ""
        self._tail, self._whole_tail = ShownTail(tail), ShownTail(tail)  # of the stream, of all
        self._trace = TokenTrace()
        self.completion: Completion | None = None
        self.reports: list[ModReport] = []  # so far

    def add(self, update: Update) -> TextDelta | None:
        """Take an update; return it if it is text."""
        match update:
            case TextDelta():
                text = self._tail.new(update.text)
                return update if text == update.text else replace(update, text=text)
            case TokensDelta():
                self._trace.apply(update)
            case ReportsDelta():
                self.reports += update.reports
            case Completed():
                self.completion = self._completion(update)
            case _:
                pass
        return None

    def _num_replaced(self) -> int:
        self._whole_tail.end()
        return self._whole_tail.num_replaced

    def _completion(self, completed: Completed) -> Completion:
        beginning = self._request.beginning
        message = read_message(reader_factory(self._request)(), completed)
        calls = message.tool_calls
        return Completion(
            id=self._request.request_id,
            text=self._whole_tail.new(completed.text),
            replaced=self._num_replaced(),
            branch=branched_from(self._request.branch, self._request.request_id, completed),
            content=message.content,
            reasoning=message.reasoning,
            token_ids=completed.token_ids,
            prompt_ids=self._request.prompt_ids + (beginning.token_ids if beginning else ()),
            trace=self._trace.tokens,
            finish_reason=finish_reason(completed, has_calls=bool(calls)),
            usage=Usage(
                prompt_tokens=completed.prompt_tokens,
                completion_tokens=completed.completion_tokens,
                cached_tokens=completed.cached_tokens,
                forced_tokens=completed.forced_tokens,
                backtracked_tokens=completed.backtracked_tokens,
                reasoning_tokens=completed.reasoning_tokens,
            ),
            logprobs=completed.logprobs,
            mean_logprob=completed.mean_logprob,
            prompt_logprobs=completed.prompt_logprobs,
            tool_calls=calls,
            reports=completed.reports,
            loops=completed.loops,
        )


def _span(text: str, style: str, title: str = "") -> str:
    """A piece of escaped text; its style and title are attributes."""
    attributes = f' style="{style}"' if style else ""
    attributes += f' title="{escape(title)}"' if title else ""
    return f"<span{attributes}>{escape(text)}</span>"


def _title(token: TracedToken) -> str:
    """Which mods forced and backtracked a token."""
    parts = [f"forced by {token.forced_by}"] if token.forced else []
    parts += [f"backtracked by {token.backtracked_by}"] if token.backtracked else []
    return ", ".join(parts)

"""The schema of a trace, which is stored, sent and exported. `docs/traces.md` describes it."""

from typing import Any, Literal

from msgspec import Struct

#: How much is recorded of a request: nothing, the request with the actions of its mods, or also
#: every token, event and forward pass.
Level = Literal["off", "requests", "tokens"]

LEVELS: tuple[Level, ...] = ("off", "requests", "tokens")

#: Name and version of the schema. A field may be added without another version.
SCHEMA = "concordance.trace/1"


class TraceLog(Struct, kw_only=True, omit_defaults=True):
    """A line that a mod printed or logged."""

    mod: str
    text: str
    level: str = "print"  # or the level of the log record, in lower case
    at_ms: float = 0.0


class Alternative(Struct, kw_only=True, omit_defaults=True):
    """One of the most probable tokens of a position."""

    token_id: int
    text: str = ""
    logprob: float | None = None  # of the model; `None`: impossible
    adjusted_logprob: float | None = None  # after adjustments; `None`: not allowed


class TraceToken(Struct, kw_only=True, omit_defaults=True):
    """A token that is, or was, part of a completion, or was sampled and replaced by a mod.

    Probabilities are natural logarithms, and `None` where nothing was sampled.

    Attributes:
        index: Its index in the list of tokens, which never changes.
        position: Its position in the completion when it was added.
        token_id: The token.
        text: The text of the token alone.
        origin: `sampled`; `forced` by `mod` at `event`; `given` with the request.
        status: `kept`; `backtracked`, that is removed again; `replaced`, that is sampled and never
            added to the completion, since a mod decided otherwise. By `removed_by` at `removed_at`.
        logprob: Of the model, before adjustments.
        adjusted_logprob: After bias, penalties, constraints and mods, before temperature and
            filters. Equal to `logprob` where nothing adjusts.
        entropy: Of the model's distribution, in nats.
        allowed: Tokens that a constraint, a mod or a penalty left possible; `None`: all.
        alternatives: The model's most probable tokens, best first; then others that are among the
            most probable after adjustments.
        at_ms: Time since the request got its row.
    """

    index: int
    position: int
    token_id: int
    text: str = ""
    origin: Literal["sampled", "forced", "given"] = "sampled"
    status: Literal["kept", "backtracked", "replaced"] = "kept"
    mod: str | None = None
    event: int | None = None
    removed_by: str | None = None
    removed_at: int | None = None
    logprob: float | None = None
    adjusted_logprob: float | None = None
    entropy: float | None = None
    allowed: int | None = None
    alternatives: list[Alternative] = []
    at_ms: float = 0.0


class TraceEvent(Struct, kw_only=True, omit_defaults=True):
    """A call of a mod that acted, logged or failed; or a command of live control.

    Calls that returned no action and logged nothing are counted in `Trace.handlers` only.

    Attributes:
        index: Its index in the list of events.
        mod: The mod; `@control` for an action by hand.
        event: The type of the event; `command` for a command.
        action: The type of the action; the command's name for a command.
        position: Length of the completion at the event.
        draws: Tokens that the sampler had drawn before, the one of a `Sampled` event included.
        removed: Tokens that had been removed from the completion before.
        details: What the action says: token ids, a number of tokens, a bias.
        forced_tokens: Tokens that it added.
        backtracked_tokens: Tokens that it removed.
        by_hand: True for an action of live control.
        command: Of a command: what it takes to apply it again, as `traces.commands` encodes it.
        microseconds: The time of the call.
        logs: What the mod printed and logged in the call.
        error: The error that it raised.
        at_ms: Time since the request got its row.
    """

    index: int
    mod: str
    event: str
    action: str
    position: int
    draws: int = 0
    removed: int = 0
    details: dict[str, Any] = {}
    forced_tokens: int = 0
    backtracked_tokens: int = 0
    by_hand: bool = False
    command: dict[str, Any] | None = None
    microseconds: float = 0.0
    logs: list[TraceLog] = []
    error: str | None = None
    at_ms: float = 0.0


class TraceStep(Struct, kw_only=True, omit_defaults=True):
    """A forward pass that processed tokens of the request.

    Attributes:
        index: Its index in the list of steps.
        step: The number of the engine's step, equal for the requests that share it.
        rows: Requests in the batch.
        row: The request's place in the batch.
        tokens: Tokens that it processed.
        is_prefill: True for tokens of the prompt.
        saved: Passes that a forced span saved: its tokens were processed together.
        is_wasted: True if its result was discarded, since a mod acted on the token before.
        at_ms: Time since the request got its row.
    """

    index: int
    step: int
    rows: int
    row: int
    tokens: int
    is_prefill: bool = False
    saved: int = 0
    is_wasted: bool = False
    at_ms: float = 0.0


class TraceMod(Struct, kw_only=True, omit_defaults=True):
    """A mod of the request, and what it did. The last fields are set at the end."""

    name: str
    hash: str | None = None  # `sha256:` and the first digits of its content's hash
    parameters: dict[str, Any] = {}
    calls: int = 0
    forced_tokens: int = 0
    backtracked_tokens: int = 0
    adjusted_steps: int = 0
    microseconds: int = 0


class HandlerTotal(Struct, kw_only=True):
    """All calls of one handler."""

    mod: str
    event: str
    calls: int = 0
    microseconds: float = 0.0


class Trace(Struct, kw_only=True):
    """What happened in one request, up to now or to its end.

    Attributes:
        id: That of the completion's request.
        owner: Who may see it; empty if the request needed no key.
        choice: Index among the completions of the HTTP request.
        status: `running`, `ended` or `failed`.
        prompt: Its text; `None` if the server keeps no prompts.
        prompt_ids: The prompt, as mods left it.
        given_prompt_ids: The prompt before mods replaced it; `None` if none did.
        source: The body of the HTTP request, as it was sent; `None` if the server keeps no prompts.
        settings: Those of the server that the request depends on.
        build: What computed it: the model's hash, the versions, the device.
        limits: Of the completion: its budget, the vocabulary, the context, the tokens that end it.
        completion_ids: The completion, without what was removed.
        is_truncated: True if there was more to record than a trace may hold.
        dropped_records: Records that the engine dropped, since too many waited to be read.
        passes: Forward passes that processed tokens of the request.
        branch: `parent` and `position`, if the completion branches off another one.
    """

    id: str
    schema: str = SCHEMA
    object: Literal["trace"] = "trace"
    owner: str = ""
    created: float = 0.0  # Unix time
    seconds: float = 0.0
    model: str = ""
    path: str = ""
    choice: int = 0
    level: Level = "tokens"
    status: Literal["running", "ended", "failed"] = "running"
    finish_reason: str | None = None
    error: str | None = None
    prompt_ids: list[int] | None = None
    prompt: str | None = None
    given_prompt_ids: list[int] | None = None
    source: dict[str, Any] | None = None
    settings: dict[str, Any] = {}
    build: dict[str, str] = {}
    limits: dict[str, Any] = {}
    parameters: dict[str, Any] = {}
    seed: int | None = None
    mods: list[TraceMod] = []
    prompt_tokens: int = 0
    cached_tokens: int = 0
    branch: dict[str, Any] | None = None
    completion_tokens: int = 0
    forced_tokens: int = 0
    backtracked_tokens: int = 0
    completion_ids: list[int] = []
    text: str = ""
    passes: int = 0
    passes_saved: int = 0
    passes_wasted: int = 0
    is_truncated: bool = False
    dropped_records: int = 0
    tokens: list[TraceToken] = []
    events: list[TraceEvent] = []
    steps: list[TraceStep] = []
    handlers: list[HandlerTotal] = []
    logs: list[TraceLog] = []  # of mods, outside of a recorded event


class TraceSummary(Struct, kw_only=True):
    """What lists and live streams have of a trace."""

    id: str
    object: Literal["trace.summary"] = "trace.summary"
    owner: str = ""
    created: float
    seconds: float
    model: str
    path: str
    choice: int
    level: Level
    status: str
    finish_reason: str | None
    error: str | None
    mods: list[str]
    prompt_tokens: int
    completion_tokens: int
    forced_tokens: int
    backtracked_tokens: int
    prompt_preview: str | None
    text_preview: str


#: Characters of a text in a summary.
_PREVIEW = 120


def summary_of(trace: Trace) -> TraceSummary:
    """Return what lists have of a trace."""
    fields = {
        name: getattr(trace, name)
        for name in TraceSummary.__struct_fields__
        if name not in {"object", "mods", "prompt_preview", "text_preview"}
    }
    return TraceSummary(
        **fields,
        mods=[mod.name for mod in trace.mods],
        prompt_preview=None if trace.prompt is None else trace.prompt[-_PREVIEW:],
        text_preview=trace.text[:_PREVIEW],
    )

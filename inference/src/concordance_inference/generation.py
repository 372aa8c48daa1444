"""What crosses between the server and the engine: plain data, never an array, never HTTP.

The server depends on this module and not on the engine, so that neither knows the other.
"""

import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, Protocol

import msgspec
from concordance_sdk.host import ModDefinition
from concordance_sdk.host.instance import InProcessMod
from concordance_shared import ConcordanceError, Conversation, FinishReason, ToolCall
from msgspec import Meta, Struct

Fraction = Annotated[float, Meta(ge=0, le=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
RepetitionPenalty = Annotated[float, Meta(ge=0.01, le=100)]
Temperature = Annotated[float, Meta(ge=0, le=100)]
Seed = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]

#: A temperature below this is taken for 0: divided by less, logits may leave the range of float32.
GREEDY_BELOW = 1e-5

#: As many alternatives as a request can ask for at each position, as in OpenAI's API.
MAX_TOP_LOGPROBS = 20


class SamplingParams(Struct, frozen=True, kw_only=True):
    """How a request's tokens are chosen from the model's scores.

    Bias and penalties change the scores before mods see them. What mods leave is divided by the
    temperature, cut by top-k, top-p, min-p and XTC, in this order, and drawn from.
    """

    temperature: Temperature = 1.0  # 0, or less than `GREEDY_BELOW`, takes the best token
    top_p: Fraction = 1.0  # keep the likeliest tokens that make up this mass; 1 keeps all
    top_k: Annotated[int, Meta(ge=0)] = 0  # keep so many of the likeliest; 0 keeps all
    min_p: Fraction = 0.0  # keep what is at least this fraction of the likeliest
    xtc_probability: Fraction = 0.0  # how often all likely tokens but the least likely are dropped
    xtc_threshold: Annotated[float, Meta(ge=0, le=0.5)] = 0.1  # what counts as likely
    repetition_penalty: RepetitionPenalty = 1.0  # divides; 1 changes nothing
    presence_penalty: Penalty = 0.0  # subtracted from the score of what was generated before
    frequency_penalty: Penalty = 0.0  # the same, for each time
    logit_bias: Mapping[int, float] = {}  # token id -> what is added to its score
    seed: int | None = None  # the same seed gives the same tokens; None draws one

    def __post_init__(self) -> None:
        """Make a temperature 0 that is too small to divide by."""
        if 0 < self.temperature < GREEDY_BELOW:
            msgspec.structs.force_setattr(self, "temperature", 0.0)


class ModCall(Struct, frozen=True, kw_only=True, eq=False):
    """A mod that a request named, with the parameters it gave, validated."""

    definition: ModDefinition
    parameters: Mapping[str, Any]
    name: str


class GenerationRequest(Struct, frozen=True, kw_only=True, eq=False):
    """One completion that is asked of the engine."""

    request_id: str
    prompt_ids: tuple[int, ...]
    max_tokens: int | None = None  # as many as there is room for, if nothing is said
    sampling: SamplingParams = SamplingParams()
    stop: tuple[str, ...] = ()
    mods: tuple[ModCall, ...] = ()
    instances: tuple[InProcessMod, ...] | None = None  # of the mods, where they are made already
    conversation: Conversation = Conversation()
    stream: bool = False  # send text as it is made, not only at the end
    include_retractions: bool = False  # hold nothing back; say what was taken back
    show_tokens: bool = False  # also send every change of the completion, token by token
    top_logprobs: int | None = None  # tell each token's log-probability, and so many alternatives
    cache_salt: str = ""  # what is remembered of prompts is shared by requests of one salt only


class Started(Struct, frozen=True, kw_only=True):
    """The prompt was read and the first position is decided: no error is to be expected now."""

    prompt_tokens: int


class TokenLogprobs(Struct, frozen=True, kw_only=True):
    """How likely the model itself found a token of the completion, whoever put it there.

    Natural logarithms of the model's own probabilities, before bias, penalties, mods and
    temperature.
    """

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...]  # the likeliest tokens, best first


class TextDelta(Struct, frozen=True, kw_only=True):
    """Text that was added, after `retracted` characters were taken back from the end."""

    text: str
    retracted: int = 0
    logprobs: tuple[TokenLogprobs, ...] = ()  # of the tokens that were added, if asked for


class Token(Struct, frozen=True, kw_only=True):
    """A token of a completion and where it came from."""

    token_id: int
    text: str  # what it adds to the text: nothing for half a character or a special token
    forced: bool
    mod: str | None = None  # the mod that forced it; `None` for a sampled token


class TokensDelta(Struct, frozen=True, kw_only=True):
    """The completion became its first `kept` tokens followed by `tokens`.

    `tokens` may repeat tokens whose text has changed, such as the halves of a character.
    """

    kept: int
    tokens: tuple[Token, ...]
    num_backtracked: int = 0  # tokens that a mod removed from the end, before any were added
    mod: str | None = None  # the mod that removed them


class Completed(Struct, frozen=True, kw_only=True):
    """The request ended well. The last update of a request, unless `Failed` is."""

    text: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[TokenLogprobs, ...] = ()  # one for each token, if asked for
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0  # of the prompt, that did not have to be read
    forced_tokens: int = 0
    taken_back_tokens: int = 0


class Failed(Struct, frozen=True, kw_only=True, eq=False):
    """The request ended with an error. The last update of a request, unless `Completed` is."""

    error: ConcordanceError


Update = Started | TextDelta | TokensDelta | Completed | Failed


class ModelInfo(Struct, frozen=True, kw_only=True):
    """What clients are told of the model that is served."""

    id: str
    created: int  # Unix time in seconds
    context_length: int  # tokens of prompt and completion together
    vocab_size: int


class EngineClient(Protocol):
    """How the server asks for completions, from its event loop."""

    @property
    def model(self) -> ModelInfo:
        """The model that is served."""
        ...

    @property
    def is_running(self) -> bool:
        """Whether requests can be taken."""
        ...

    def prepare(self, request: GenerationRequest) -> GenerationRequest:
        """Make the instances of a request's mods, on the calling thread.

        Raises:
            ModError: A mod raised, or was not ready in time.
            RequestError: A mod says that the request is at fault.
        """
        ...

    def generate(self, request: GenerationRequest) -> AsyncIterator[Update]:
        """Run a request; updates come as they happen, `Completed` or `Failed` last.

        The client keeps the tokens of a completion for prompts that contain its text. Closing the
        iterator cancels the request.

        Raises:
            EngineOverloadedError: Too many requests wait already.
            EngineStoppedError: The engine takes no requests any more.
        """
        ...


def new_request_id() -> str:
    """An id that names a request in events, messages and logs."""
    return uuid.uuid4().hex

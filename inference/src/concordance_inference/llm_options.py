"""The options of `LLM.generate` and `LLM.chat`, and the prompts that they take."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypedDict, cast

import msgspec
from concordance_sdk import ModUse, use
from concordance_sdk.host import ModDefinition
from concordance_shared import InvalidRequestError, Message, ResponseFormat, Schemas, Tool
from concordance_shared.conversation import roles_hint
from msgspec import Meta

from concordance_inference.chat.given_message import GivenMessage
from concordance_inference.chat.reasoning_choice import ReasoningChoice
from concordance_inference.chat.rendering import Rendering, rendering_of
from concordance_inference.chat.request import Prompt
from concordance_inference.chat.truncation import Truncation
from concordance_inference.generation import (
    MAX_TOP_LOGPROBS,
    ModCall,
    SamplingDefaults,
    SamplingParams,
    Seed,
)
from concordance_inference.loop_detection import LoopChoice
from concordance_inference.mods.banned_strings import MAX_LENGTH, MAX_STRINGS
from concordance_inference.mods.catalog import ModCatalog, NamedMod
from concordance_inference.tools.choice import tool_choice
from concordance_inference.tools.offer import ToolChoice

#: A mod: its name in the catalog, `use(mod, parameter=value)`, or a marked function or class.
Mod = str | ModUse | ModDefinition | Callable[..., Any]
Conversation = Sequence[Message | Mapping[str, Any]]
#: One prompt, or a list of them.
Prompts = str | Sequence[int] | Conversation | Sequence[str | Sequence[int] | Conversation]


_SAMPLING = frozenset(SamplingParams.__struct_fields__)


class GenerateOptions(TypedDict, total=False):
    """The options of `LLM.generate` and `LLM.chat`.

    The last eleven are those of `SamplingParams`; the model has defaults for those that are left
    out or `None`.
    """

    mods: Sequence[Mod]  # in the order in which they act
    max_tokens: int | None  # of the completion; 256 if left out, `None` for all that fit
    stop: str | Sequence[str]  # the completion ends before any of these strings
    stop_token_ids: Sequence[int]  # tokens that end the completion and have no text
    ignore_eos: bool  # sampled end-of-sequence tokens do not end the completion
    min_tokens: int  # of the completion, before a sampled token or a stop string may end it
    loop_detection: LoopChoice | Mapping[str, Any] | None  # "off", "cheap" or "full", or all of it
    banned_strings: Sequence[str]  # texts that the completion never contains, in any case
    logprobs: bool | int | None  # return logprobs, and this many alternatives to each token
    sampled_logprobs: bool  # with them, those under the distribution that was sampled from
    prompt_logprobs: int | None  # of the prompt's tokens, and this many alternatives to each
    best_of: int | None  # generate this many, and return the one or the `n` most probable a token
    return_errors: bool  # put a failed request's error in its place instead of raising it
    tools: Sequence[Tool | Mapping[str, Any]]  # functions that the model may call
    tool_choice: str | Mapping[str, Any] | None  # "none", "auto", "required", or as OpenAI's API
    parallel_tool_calls: bool | None  # False: at most one call
    response_format: ResponseFormat | Mapping[str, Any] | None  # is enforced
    reasoning_effort: str | None  # "none", or a level of the chat template, such as "low"
    thinking_token_budget: int | None  # the most tokens of the reasoning; -1 is no limit
    chat_template_kwargs: Mapping[str, Any]  # variables of the chat template
    truncation: Truncation  # "auto": leave out the oldest turns of a chat that does not fit
    continue_final_message: bool  # the completion continues the last message
    add_generation_prompt: bool  # end the prompt with the beginning of an assistant message
    allow_control_tokens: bool  # names of control tokens in messages become the tokens
    temperature: float | None
    top_p: float | None
    top_k: int | None
    min_p: float | None
    xtc_probability: float | None
    xtc_threshold: float | None
    repetition_penalty: float | None
    presence_penalty: float | None
    frequency_penalty: float | None
    logit_bias: Mapping[int, float] | None
    seed: int | None


class CheckedOptions(SamplingParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options except `mods`, validated."""

    max_tokens: Annotated[int, Meta(ge=1)] | None = 256
    stop: str | tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    min_tokens: Annotated[int, Meta(ge=0)] = 0
    loop_detection: LoopChoice | None = None
    banned_strings: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=MAX_LENGTH)], ...],
        Meta(max_length=MAX_STRINGS),
    ] = ()
    logprobs: bool | Annotated[int, Meta(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    sampled_logprobs: bool = False
    prompt_logprobs: Annotated[int, Meta(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    best_of: Annotated[int, Meta(ge=1)] | None = None
    return_errors: bool = False
    tools: tuple[Tool, ...] = ()
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: Annotated[str, Meta(min_length=1, max_length=32)] | None = None
    thinking_token_budget: Annotated[int, Meta(ge=-1)] | None = None
    chat_template_kwargs: Mapping[str, Any] = {}
    truncation: Truncation = "disabled"
    continue_final_message: bool | None = None
    add_generation_prompt: bool | None = None
    allow_control_tokens: bool | None = None
    seed: Seed | None = None

    @property
    def schemas(self) -> Schemas:
        """Tools and response format."""
        return Schemas(tools=self.tools, response_format=self.response_format)

    @property
    def tool_use(self) -> ToolChoice:
        """How the model may call the tools.

        Raises:
            InvalidRequestError: `tool_choice` has none of the known shapes.
        """
        return tool_choice(
            self.tool_choice, has_tools=bool(self.tools), parallel=self.parallel_tool_calls
        )

    @property
    def reasoning(self) -> ReasoningChoice:
        """How much the model reasons."""
        budget = self.thinking_token_budget
        return ReasoningChoice(
            effort=self.reasoning_effort,
            max_tokens=None if budget is None or budget < 0 else budget,
            param="thinking_token_budget" if self.reasoning_effort is None else "reasoning_effort",
        )

    @property
    def rendering(self) -> Rendering:
        """How messages become a prompt.

        Raises:
            InvalidRequestError: The options contradict each other.
        """
        return rendering_of(self)

    @property
    def stop_strings(self) -> tuple[str, ...]:
        """The stop strings."""
        return (self.stop,) if isinstance(self.stop, str) else self.stop

    @property
    def top_logprobs(self) -> int | None:
        """The number of alternatives to each token; `None` for no logprobs at all."""
        if self.logprobs is None or self.logprobs is False:
            return None
        return 0 if self.logprobs is True else self.logprobs


def checked_options(given: Mapping[str, object]) -> CheckedOptions:
    """Validate options.

    Raises:
        InvalidRequestError: One is unknown, has the wrong type, or is out of range.
    """
    known = CheckedOptions.__struct_fields__
    for name, value in given.items():
        if name not in known:
            raise InvalidRequestError(
                f"LLM: there is no option {name!r}; the options are: "
                f"{', '.join(('mods', 'stream', 'n', *sorted(known)))}",
                param=name,
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise InvalidRequestError(f"LLM: {name} is {value}; give a finite number", param=name)
    given = {k: v for k, v in given.items() if v is not None or k not in _SAMPLING}
    try:
        options = msgspec.convert(given, CheckedOptions)
    except msgspec.ValidationError as exc:
        raise _invalid(exc, "") from exc
    if options.sampled_logprobs and options.top_logprobs is None:
        raise InvalidRequestError(
            "LLM: sampled_logprobs needs logprobs=True", param="sampled_logprobs"
        )
    for token_id, bias in options.logit_bias.items():
        if not math.isfinite(bias):
            raise InvalidRequestError(
                f"LLM: logit_bias[{token_id}] is {bias}; give a finite number", param="logit_bias"
            )
    return options


def sampling_params(
    options: CheckedOptions, given: Mapping[str, object], defaults: SamplingDefaults
) -> SamplingParams:
    """Return the sampling parameters that were given, and the model's for the others."""
    names = [name for name in given.keys() & _SAMPLING if given[name] is not None]
    return defaults.params({name: getattr(options, name) for name in names})


def resolve_mods(mods: object, catalog: ModCatalog) -> tuple[ModCall, ...]:
    """Make calls of mods that are given by name, by `use`, or as they are.

    Raises:
        UnknownModError: There is no mod of this name.
        ModDefinitionError: One is not a mod.
        InvalidRequestError: `mods` is not a list, or a mod needs parameters.
    """
    if isinstance(mods, str) or not isinstance(mods, Sequence):
        raise InvalidRequestError(
            f"LLM: mods is {mods!r:.80}; give a list of mods, as in mods=[greet]", param="mods"
        )
    given = cast(Sequence[Mod], mods)
    return tuple(_mod_call(mod, i, catalog) for i, mod in enumerate(given))


def _mod_call(mod: Mod, i: int, catalog: ModCatalog) -> ModCall:
    if isinstance(mod, str):
        return catalog.resolve([NamedMod(name=mod, where=f"mods[{i}]")])[0]
    used = mod if isinstance(mod, ModUse) else use(mod)
    name = used.definition.name
    return ModCall(definition=used.definition, parameters=used.parameters, name=name)


def split_prompts(prompts: object, *, as_chat: bool) -> tuple[list[Prompt], bool]:
    """Return the prompts, and True if they were given as a list of prompts.

    A list of messages or of token ids is one prompt; any other list is a batch.

    Args:
        prompts: A prompt or a list of prompts.
        as_chat: Take text for a user's message.

    Raises:
        InvalidRequestError: It is neither text, nor messages, nor token ids, nor a list of them.
    """
    if _is_prompt(prompts):
        return [_prompt(prompts, "", as_chat=as_chat)], False
    if not isinstance(prompts, Sequence) or isinstance(prompts, bytes | bytearray):
        raise _not_a_prompt(prompts, "")
    batch = cast(Sequence[object], prompts)
    return [_prompt(prompt, f"[{i}]", as_chat=as_chat) for i, prompt in enumerate(batch)], True


def _is_prompt(value: object) -> bool:
    if isinstance(value, str):
        return True
    if not isinstance(value, Sequence) or isinstance(value, bytes | bytearray) or not value:
        return False
    return isinstance(value[0], Message | Mapping | int)


def _prompt(value: object, where: str, *, as_chat: bool) -> Prompt:
    if isinstance(value, str):
        return (Message(role="user", content=value),) if as_chat else value
    if not _is_prompt(value):
        raise _not_a_prompt(value, where)
    items = cast(Sequence[object], value)
    if isinstance(items[0], Message | Mapping):
        return tuple(_message(item, f"prompts{where}[{i}]") for i, item in enumerate(items))
    if as_chat or not all(isinstance(item, int) and item >= 0 for item in items):
        raise _not_a_prompt(value, where)
    return tuple(cast(Sequence[int], items))


def _message(item: object, where: str) -> Message:
    if isinstance(item, Message):
        return item
    if isinstance(item, Mapping):
        known = Message.__struct_fields__
        for key in cast(Mapping[object, object], item):
            if key not in known:
                raise InvalidRequestError(
                    f"LLM: {where} has a field {key!r}; a message has: {', '.join(known)}",
                    param="messages",
                )
    try:
        return msgspec.convert(item, GivenMessage).plain
    except msgspec.ValidationError as exc:
        raise _invalid(exc, where) from exc
    except UnicodeEncodeError as exc:  # in the role, which is compared as UTF-8
        raise InvalidRequestError(
            f"LLM: {where} has half of a surrogate pair, which UTF-8 cannot encode; leave it out",
            param="messages",
        ) from exc


def _invalid(exc: msgspec.ValidationError, where: str) -> InvalidRequestError:
    """Name the field that msgspec found, such as `$.top_p` or `$.logit_bias[...]`."""
    text, _, path = str(exc).partition(" - at `")
    field = path.rstrip("`").removeprefix("key in ").removeprefix("$").removeprefix(".")
    at = ".".join(part for part in (where, field) if part)
    return InvalidRequestError(
        f"LLM: {at or 'the options'}: {text[:1].lower()}{text[1:]}{roles_hint(at)}",
        param=at or None,
    )


def _not_a_prompt(value: object, where: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"LLM: prompts{where} is {value!r:.80}; give text, a list of messages such as "
        "{'role': 'user', 'content': 'Hello'}, token ids (not to `chat`), or a list of these",
        param="prompts",
    )

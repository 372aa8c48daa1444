"""The names in each module of `quote_mod_sdk`, with their implementations as `module:name`.

The modules re-exported each other's names, and mods import from any of them, so each module lists
every name that could be imported from it.
"""

_HERE = "concordance_inference.mods.compat.quote_mod_sdk"


def _at(module: str, *names: str) -> dict[str, str]:
    return {name: f"{_HERE}.{module}:{name}" for name in names}


_EVENTS = _at("events", "Added", "ForwardPass", "ModEvent", "Prefilled", "Sampled")
#: The event names of the earliest documentation.
_OLDEST_EVENTS = {
    f"{name}Event": f"{_HERE}.events:{name}"
    for name in ("Added", "ForwardPass", "Prefilled", "Sampled")
}
_ACTIONS = _at(
    "action_types",
    "AdjustedLogits",
    "AdjustedPrefill",
    "Backtrack",
    "EmitError",
    "ForceOutput",
    "ForceTokens",
    "ModAction",
    "Noop",
    "ToolCalls",
)
_TYPES = _EVENTS | _ACTIONS
_BUILDER = _at("actions", "ActionBuilder", "InvalidActionError", "for_event")
_MOD = _at("decorator", "ModCallable", "create_mod", "mod") | _at("actions", "validate_action")
_CONVERSATION = _at(
    "conversation",
    "clear_conversation",
    "get_conversation",
    "get_schemas",
    "pop_request_context",
    "push_request_context",
    "set_conversation",
    "set_schemas",
    "tool_call_pairs",
)
_TOKENIZER = _at("tokenizer", "tokenize")
_SERIALIZATION = _at("serialization", "serialize_mod")
_TENSOR = _at("logits", "Tensor")
_BASE = _at(
    "strategies.base",
    "RuntimeState",
    "Strategy",
    "TrieNode",
    "decode_token",
    "require_token_ids",
    "tokenize_str",
)
_PRIMITIVES = _at(
    "strategies.primitives",
    "CharsMode",
    "CharsStrategy",
    "ChoicesStrategy",
    "TokensStrategy",
    "UntilEndType",
    "UntilStrategy",
)
_LIST = _at("strategies.list_strategy", "ListStrategy")
_CONSTRUCTORS = _at(
    "strategies.strategy_constructor",
    "CharsStrat",
    "ChoicesStrat",
    "ListStrat",
    "StrategyConstructor",
    "UntilStrat",
)
_SELF_PROMPT = _at(
    "self_prompt", "EraseMode", "SelfPrompt", "self_prompt_constrained_mod", "self_prompt_mod"
)
_FLOW = _at(
    "flow",
    "FlowDefinition",
    "FlowEngine",
    "FlowQuestion",
    "FlowRoute",
    "FlowState",
    "RequestState",
    "RouteKind",
    "RouteSpec",
    "RouteTarget",
    "TState",
    "route_message",
    "route_noop",
    "route_output",
    "route_question",
    "route_summary",
    "route_tool",
)

_MODULES: dict[str, dict[str, str]] = {
    "quote_mod_sdk": _BUILDER
    | _MOD
    | _TYPES
    | _OLDEST_EVENTS
    | _CONVERSATION
    | _TOKENIZER
    | _SERIALIZATION
    | _at("self_prompt", "self_prompt_constrained_mod", "self_prompt_mod"),
    "quote_mod_sdk.actions": _BUILDER | _TYPES,
    "quote_mod_sdk.conversation": _CONVERSATION,
    "quote_mod_sdk.flow": _FLOW
    | _TYPES
    | _at("actions", "ActionBuilder")
    | _at("self_prompt", "EraseMode", "SelfPrompt")
    | _at("strategies.strategy_constructor", "StrategyConstructor"),
    "quote_mod_sdk.mod": _MOD | _BUILDER | _TYPES,
    "quote_mod_sdk.self_prompt": _SELF_PROMPT | _MOD | _TYPES | _BUILDER | _CONSTRUCTORS,
    "quote_mod_sdk.serialization": _SERIALIZATION
    | _at("decorator", "ModCallable")
    | _at("events", "ModEvent")
    | _at("action_types", "ModAction"),
    "quote_mod_sdk.strategies": _BASE | _PRIMITIVES | _LIST | _CONSTRUCTORS,
    "quote_mod_sdk.strategies.base": _BASE | _ACTIONS,
    "quote_mod_sdk.strategies.compile": _at("strategies.compile", "compile_strategy")
    | _PRIMITIVES
    | _BASE,
    "quote_mod_sdk.strategies.list_strategy": _LIST | _BASE | _ACTIONS,
    "quote_mod_sdk.strategies.primitives": _PRIMITIVES | _BASE | _ACTIONS,
    "quote_mod_sdk.strategies.strategy_constructor": _CONSTRUCTORS | _PRIMITIVES | _LIST | _BASE,
    "quote_mod_sdk.tokenizer": _TOKENIZER,
    "shared": {},
    "shared.conversation": _CONVERSATION,
    "shared.types": _TYPES | _TENSOR,
    "shared.utils": _TYPES | _at("actions", "InvalidActionError", "validate_action"),
    # The array library of the older engine, in which logits were passed.
    "max": {},
    "max.driver": _TENSOR | _at("logits", "CPU", "Accelerator", "Device"),
    "max.dtype": _at("logits", "DType"),
}

#: Module -> name -> implementation. The older server also had its SDK at `sdk.quote_mod_sdk`.
ALIASES: dict[str, dict[str, str]] = (
    _MODULES
    | {"sdk": {}}
    | {f"sdk.{name}": names for name, names in _MODULES.items() if name.startswith("quote_mod_sdk")}
)

_NO_TRACES = (
    "mods neither read nor write traces here: the server records what they do, print and log; "
    "requests with `trace: true` or `mod_debug_logs: true` return it"
)
_TRACES = (
    "append_debug_logs",
    "append_trace_action",
    "append_trace_event",
    "append_trace_mod_call",
    "append_trace_mod_log",
    "clear_mod_trace",
    "format_mod_trace",
    "get_mod_trace",
    "get_mod_trace_data",
    "init_mod_trace",
    "read_debug_logs",
)

#: Module -> name -> why it is not supported.
REFUSED: dict[str, dict[str, str]] = {
    name: dict.fromkeys(_TRACES, _NO_TRACES)
    for name in (
        "quote_mod_sdk",
        "quote_mod_sdk.conversation",
        "sdk.quote_mod_sdk",
        "sdk.quote_mod_sdk.conversation",
        "shared.conversation",
    )
}

"""The namespace of mod authors: `@mod`, events, actions, the conversation.

    from concordance_sdk import ForwardPass, mod

    @mod
    def greet(event, actions, tokenizer):
        if isinstance(event, ForwardPass) and event.step == 0:
            return actions.force_tokens(tokenizer.encode("Greetings!"))

`concordance_sdk.testing` runs a mod against a scripted model, in milliseconds. Engines import from
`concordance_sdk.host`.
"""

from concordance_shared import (
    Action,
    Added,
    AdjustedLogits,
    AdjustedPrefill,
    Backtrack,
    ConcordanceError,
    EmitError,
    Event,
    Finished,
    FinishReason,
    ForceOutput,
    ForceTokens,
    ForwardPass,
    FunctionCall,
    FunctionSchema,
    InvalidActionError,
    JsonSchemaFormat,
    Message,
    ModDefinitionError,
    ModRaisedError,
    ModReport,
    Noop,
    Prefilled,
    Report,
    ResponseFormat,
    Sampled,
    Schemas,
    Tool,
    ToolCall,
    ToolCalls,
    UndeclaredLogitsError,
)

from concordance_sdk.action_builder import Actions
from concordance_sdk.composition import ModUse, use
from concordance_sdk.context import (
    conversation_of,
    get_conversation,
    get_schemas,
    tool_call_pairs,
)
from concordance_sdk.follower import Follower
from concordance_sdk.hosted_tool import HostedCall, HostedTool
from concordance_sdk.mod import mod
from concordance_sdk.serialize import ModPayload, serialize_mod
from concordance_sdk.tokenizer import Tokenizer

__all__ = [
    "Action",
    "Actions",
    "Added",
    "AdjustedLogits",
    "AdjustedPrefill",
    "Backtrack",
    "ConcordanceError",
    "EmitError",
    "Event",
    "FinishReason",
    "Finished",
    "Follower",
    "ForceOutput",
    "ForceTokens",
    "ForwardPass",
    "FunctionCall",
    "FunctionSchema",
    "HostedCall",
    "HostedTool",
    "InvalidActionError",
    "JsonSchemaFormat",
    "Message",
    "ModDefinitionError",
    "ModPayload",
    "ModRaisedError",
    "ModReport",
    "ModUse",
    "Noop",
    "Prefilled",
    "Report",
    "ResponseFormat",
    "Sampled",
    "Schemas",
    "Tokenizer",
    "Tool",
    "ToolCall",
    "ToolCalls",
    "UndeclaredLogitsError",
    "conversation_of",
    "get_conversation",
    "get_schemas",
    "mod",
    "serialize_mod",
    "tool_call_pairs",
    "use",
]

"""A gpt-oss that reasons, and then calls the first tool, quotes its result, or answers."""

import json

from concordance_sdk import get_conversation, get_schemas, mod

MESSAGE = "<|channel|>analysis<|message|>I know.<|end|><|start|>assistant<|channel|>"
CALL = MESSAGE + "commentary to=functions.{name} <|constrain|>json<|message|>{arguments}<|call|>"
ANSWER = MESSAGE + "final<|message|>{text}<|return|>"


@mod(max_backtrack=0)
class Agent:
    """Leaves one token at each position, which is sampled and not forced."""

    def __init__(self):
        self._ids = None

    def forward_pass(self, event, actions, tokenizer):
        """Allow the next token of the answer."""
        if self._ids is None:
            self._ids = tokenizer.encode(_answer())
        if event.step >= len(self._ids):
            return None
        return actions.adjust_logits(allow=[self._ids[event.step]])


def _answer():
    last, schemas = get_conversation()[-1], get_schemas()
    if last.role == "tool":
        return ANSWER.format(text=f"The tool says: {last.text}")
    if schemas.tools:
        function = schemas.tools[0].function
        return CALL.format(name=function.name, arguments=_example(function.parameters))
    if schemas.response_format and schemas.response_format.json_schema:
        return ANSWER.format(text=_example(schemas.response_format.json_schema.schema))
    return ANSWER.format(text="The capital of France is Paris.")


def _example(schema):
    """An object with all properties of a schema, in their order."""
    properties = schema.get("properties", {})
    return json.dumps(
        {name: True if of.get("type") == "boolean" else "Paris" for name, of in properties.items()}
    )

"""A gpt-oss that reasons, calls the first tool, and then quotes the result."""

from concordance_sdk import get_conversation, get_schemas, mod

CALL = (
    "<|channel|>analysis<|message|>A tool knows.<|end|><|start|>assistant"
    "<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>"
    '{{"city": "Paris"}}<|call|>'
)
ANSWER = (
    "<|channel|>analysis<|message|>It said so.<|end|><|start|>assistant"
    "<|channel|>final<|message|>The tool says: {text}<|return|>"
)


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
    last = get_conversation()[-1]
    if last.role == "tool":
        return ANSWER.format(text=last.text)
    return CALL.format(name=get_schemas().tools[0].function.name)

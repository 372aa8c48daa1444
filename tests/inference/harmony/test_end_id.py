"""A mod that ends a completion of gpt-oss ends its message as the model would."""

import pytest
from concordance_sdk import Added, ForwardPass, mod
from concordance_shared import FunctionSchema, Message, Schemas, Tool
from tiny import call

TOOL = Tool(function=FunctionSchema(name="f", parameters={"type": "object"}))
HEADERS = {
    "<|channel|>final<|message|>It": "<|return|>",
    "<|channel|>analysis<|message|>Hm": "<|return|>",
    "<|channel|>commentary to=functions.f<|message|>{}": "<|call|>",
}


@pytest.mark.parametrize(("written", "end"), HEADERS.items())
def test_stop_forces_the_token_that_ends_the_message(gpt_oss, written, end):
    @mod(name="stopping")
    class Stopping:
        def forward_pass(self, event: ForwardPass, actions, tokenizer):
            return actions.force_tokens(tokenizer.encode(written)) if event.step == 0 else None

        def added(self, event: Added, actions):
            return actions.stop()

    schemas = Schemas(tools=(TOOL,))
    messages = [Message(role="user", content="Hello")]
    request = gpt_oss.request(messages, mods=(call(Stopping),), schemas=schemas, max_tokens=40)
    (*_, completed) = gpt_oss.submit(gpt_oss.prepare(request))
    assert gpt_oss.chat.decode(completed.token_ids) == written + end

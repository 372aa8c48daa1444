import pytest
from concordance_inference.harmony.content_fault import final_texts
from concordance_inference.harmony.place import Header, Place
from concordance_inference.harmony.turn import HarmonyTurn
from concordance_sdk import ForwardPass, mod
from concordance_shared import (
    ConstraintError,
    FinishReason,
    FunctionSchema,
    JsonSchemaFormat,
    Message,
    ResponseFormat,
    Schemas,
    Tool,
)
from harmony_bytes import TOKENIZER, TOKENS, named
from tiny import call

FORMAT = ResponseFormat(
    type="json_schema",
    json_schema=JsonSchemaFormat(name="ok", schema={"type": "object", "required": ["ok"]}),
)
FINAL = "<|channel|>final<|message|>"


@pytest.mark.parametrize(
    ("written", "texts"),
    [
        (FINAL + "a<|return|>", ["a"]),
        (FINAL + "a", ["a"]),
        ("<|channel|>analysis<|message|>a<|end|><|start|>assistant" + FINAL + "b", ["b"]),
        (FINAL + "a<|end|><|start|>assistant" + FINAL + "b<|return|>", ["a", "b"]),
        ("<|channel|>commentary to=functions.f<|message|>{}<|call|>", []),
        (FINAL + "<|return|>", [""]),
        ("", []),
    ],
)
def test_final_messages_are_found(written, texts):
    turn = HarmonyTurn(tokens=TOKENS)
    assert final_texts(named(written), turn, TOKENIZER.token_bytes) == texts


def test_a_message_that_the_prompt_begins_is_not_checked_by_its_rest():
    opened = Place(kind="content", header=Header(channel="final"), num_messages=1)
    turn = HarmonyTurn(tokens=TOKENS, opened=opened)
    assert final_texts(named('": 1}<|return|>'), turn, TOKENIZER.token_bytes) == []


def run(runtime, *mods, **options):
    messages = [Message(role="user", content="Hello")]
    request = runtime.request(messages, mods=tuple(map(call, mods)), **options)
    return list(runtime.submit(runtime.prepare(request)))[-1]


def forcing(text, *, output=False):
    @mod(name="forcing", on=[ForwardPass])
    def forcing(event, actions, tokenizer):
        ids = tokenizer.encode(text)
        if event.step == 0:
            return actions.force_output(ids) if output else actions.force_tokens(ids)
        return None

    return forcing


@pytest.mark.parametrize("output", [True, False])
def test_a_mod_that_writes_a_whole_answer_against_the_format_gets_an_error(gpt_oss, output):
    text = FINAL + '{"no": 1}<|return|>'
    with pytest.raises(ConstraintError, match="response_format: it does not allow"):
        run(gpt_oss, forcing(text, output=output), schemas=Schemas(response_format=FORMAT))


def test_the_format_holds_in_final_of_a_real_vocabulary(gpt_oss):
    reasoning = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant" + FINAL
    completed = run(
        gpt_oss, forcing(reasoning), schemas=Schemas(response_format=FORMAT), max_tokens=60
    )
    assert '{"ok": ' in completed.text


def test_a_call_with_a_real_vocabulary_follows_its_schema(gpt_oss):
    tool = Tool(
        function=FunctionSchema(
            name="look_up",
            parameters={"type": "object", "properties": {"n": {"enum": [17]}}, "required": ["n"]},
        )
    )
    header = "<|channel|>commentary to=functions.look_up <|constrain|>json<|message|>"
    completed = run(gpt_oss, forcing(header), schemas=Schemas(tools=(tool,)), max_tokens=60)
    assert completed.text.endswith('{"n": 17}')
    assert completed.finish_reason is FinishReason.STOP
    assert completed.token_ids[-1] == 200012

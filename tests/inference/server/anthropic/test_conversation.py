"""Messages in Anthropic's shape as the chat template gets them."""

from concordance_inference.chat.rendering import USUAL
from concordance_shared import InvalidRequestError, Message

USER = {"role": "user", "content": "hi"}
ASK = {"model": "fake", "max_tokens": 5, "messages": [USER]}


def text(content):
    return {"type": "text", "text": content, "cache_control": {"type": "ephemeral"}}


def sent(api, **fields):
    """What the engine is asked, and the messages that are rendered."""
    client = api()
    response = client.http.post("/v1/messages", json={**ASK, **fields})
    assert response.status_code == 200, response.text
    return client.engine.requests[0], client.chat


def rendered(api, *messages, **fields):
    return sent(api, messages=list(messages), **fields)[1].messages


def test_text_may_be_a_string_or_blocks(api):
    user = {"role": "user", "content": [text("a"), text("b")]}

    assert rendered(api, user, system="be brief") == (
        Message(role="system", content="be brief"),
        Message(role="user", content="a\n\nb"),
    )


def test_a_system_prompt_of_blocks_leaves_out_the_billing_header(api):
    blocks = [text("x-anthropic-billing-header: cch=1a2b3;"), text("be brief"), text("and kind")]

    assert rendered(api, USER, system=blocks)[0].content == "be brief\n\nand kind"
    assert [m.role for m in rendered(api, USER, system=blocks[:1])] == ["user"]


def test_a_system_message_may_follow_others(api):
    roles = [
        m.role for m in rendered(api, USER, {"role": "system", "content": [text("now")]}, USER)
    ]

    assert roles == ["user", "system", "user"]


def test_calls_and_results_of_tools_become_messages(api):
    assistant = {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "so", "signature": "s"},
            {"type": "redacted_thinking", "data": "x"},
            text("I add."),
            {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {"a": 1}},
            {"type": "tool_use", "id": "toolu_2", "name": "add", "input": {}},
        ],
    }
    user = {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": [text("3")]},
            {"type": "tool_result", "tool_use_id": "toolu_2", "content": "no", "is_error": True},
            {"type": "tool_result", "tool_use_id": "toolu_3"},
            text("and?"),
        ],
    }
    _, said, *rest = rendered(api, USER, assistant, user)

    assert (said.content, said.reasoning_content) == ("I add.", "so")
    assert [(call.id, call.function.arguments) for call in said.tool_calls] == [
        ("toolu_1", '{"a":1}'),
        ("toolu_2", "{}"),
    ]
    assert [(m.role, m.content, m.tool_call_id) for m in rest] == [
        ("tool", "3", "toolu_1"),
        ("tool", "Error: no", "toolu_2"),
        ("tool", "", "toolu_3"),
        ("user", "and?", None),
    ]


def test_a_block_of_thinking_of_another_server_may_lack_its_text(api):
    block = {"type": "thinking", "thinking": "", "signature": "EqQBCgIYAhIM"}
    said = {"role": "assistant", "content": [block, text("4")]}

    assert rendered(api, USER, said, USER)[1].reasoning_content is None


def test_consecutive_messages_of_a_role_become_one(api):
    told = [{"role": "assistant", "content": part} for part in ("He", "llo")]
    messages = rendered(api, USER, USER, *told, USER)

    assert [(m.role, m.content) for m in messages] == [
        ("user", "hi\n\nhi"),
        ("assistant", "Hello"),
        ("user", "hi"),
    ]


def test_a_last_message_of_the_assistant_is_continued(api):
    _, chat = sent(api, messages=[USER, {"role": "assistant", "content": "The"}])
    assert chat.renderings[0].continues_final_message

    assert sent(api)[1].renderings == [USUAL]


def test_a_system_message_becomes_the_users_where_the_template_refuses_it(api):
    class Strict(type(api().chat)):
        def render(self, messages, *args, **kwargs):
            if any(message.role == "system" for message in messages[1:]):
                raise InvalidRequestError("no system message here", param="messages")
            return super().render(messages, *args, **kwargs)

    client = api(chat=Strict())
    now = {"role": "system", "content": "now"}
    client.messages.create(**{**ASK, "messages": [USER, now, USER]})

    assert client.chat.messages == (
        Message(role="user", content="hi\n\n<system>\nnow\n</system>\n\nhi"),
    )

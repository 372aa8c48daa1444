"""Completions that are cut anywhere and resumed, through each API, on a tiny model."""

import json

import pytest
from branching_client import SPEAKS
from concordance_inference.mods.catalog import ModCatalog
from concordance_inference.runtime import Runtime
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from concordance_inference.server.served_models import OneModel
from resuming import assert_equal, chat, post
from starlette.testclient import TestClient
from tool_folders import write_byte_folder

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
TOOL = {"type": "function", "function": {"name": "add", "parameters": SCHEMA}}
CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 12}}\n</tool_call>'


@pytest.fixture(name="client", scope="module")
def _client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    model = write_byte_folder(folder / "tiny")
    (folder / "speaks.py").write_text(SPEAKS)
    (folder / "letters.py").write_text(LETTERS)
    catalog = ModCatalog([folder / "speaks.py", folder / "letters.py"])
    with Runtime(str(model), catalog, progress=lambda _: None) as runtime:
        context = ServerContext(models=OneModel(runtime, runtime.chat), mods=catalog)
        client = TestClient(create_app(context), base_url="http://127.0.0.1:8000")
        client.model = runtime.model.id
        client.runtime = runtime
        yield client


def speaks(text):
    return {"mods": [{"name": "speaks", "params": {"text": text}}]}


#: What the model says, and the fields of the request.
SAID = {
    "text": ("Plain é€😀 text.", {}),
    "reasoning": ("<think>\nLet me see. \n</think>\n\nIt is 4.", {}),
    "call": (f"Wait. {CALL}", {"tools": [TOOL]}),
    "reasoning and call": (f"<think>Hm</think>{CALL}", {"tools": [TOOL]}),
    "almost a call": ("a < b, <tool and <tool_cal", {"tools": [TOOL]}),
    "stop string": ("One END Two", {"stop": ["END"]}),
    "format": (
        '{"a": 12}',
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "s", "schema": SCHEMA},
            }
        },
    ),
}


#: Those with every cut: "reasoning and call" has the cuts of "reasoning" and of "call".
EVERY_CUT = [
    pytest.param(name, 1, marks=pytest.mark.slow)
    for name in SAID
    if name not in ("reasoning", "call")
]
SOME_CUTS = [(name, 9) for name in SAID]


@pytest.mark.parametrize(("streams", "then"), [(False, [False]), (True, [True, False])])
@pytest.mark.parametrize(("name", "step"), [*EVERY_CUT, *SOME_CUTS])
def test_a_message_cut_at_any_token_and_resumed_is_the_uncut_one(client, name, streams, then, step):
    text, fields = SAID[name]
    fields = {**fields, **speaks(text)}
    whole = chat(client, **fields)

    for cut in range(1, whole.usage["completion_tokens"], step):
        first = chat(client, stream=streams, **fields, max_tokens=cut)
        if first.reason != "length":
            break  # the call or the text is complete
        for stream in then:
            rest = {"resume_from": first.id, "max_tokens": 200}
            second = chat(client, stream=stream, messages=None, **rest)
            _check_rest(first, second, whole, cut)


def _check_rest(first, second, whole, cut):
    assert_equal(first.then(second), whole)
    assert second.reason == whole.reason
    assert second.about["resumed_from"] == first.id
    assert second.usage["prompt_tokens"] == first.usage["prompt_tokens"] + cut
    ends = first.usage["completion_tokens"] + second.usage["completion_tokens"]
    assert ends == whole.usage["completion_tokens"]
    cached = second.usage["prompt_tokens_details"]["cached_tokens"]
    generates = second.usage["completion_tokens_details"]["sampled_tokens"]
    assert second.usage["prompt_tokens"] - cached <= 1 or not generates


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", SAID)
def test_a_message_resumed_after_each_token_is_the_uncut_one(client, name, stream):
    text, fields = SAID[name]
    fields = {**fields, **speaks(text)}
    whole = chat(client, **fields)
    message = part = chat(client, stream=stream, **fields, max_tokens=1)
    while part.reason == "length":
        rest = {"resume_from": part.id, "max_tokens": 1}
        part = chat(client, stream=stream, messages=None, **rest)
        message = message.then(part)

    assert_equal(message, whole)
    assert part.reason == whole.reason


BUILTIN = {
    "greeting": [{"name": "greeting"}],
    "greetings": [{"name": "greeting"}, {"name": "greeting", "params": {"text": " Hi"}}],
    "replace": [{"name": "replace", "params": {"find": "a", "replacement": "bb"}}],
    "avoid": [{"name": "greeting"}, {"name": "avoid", "params": {"words": ["e", "t"]}}],
    "sentences": [{"name": "stop_after_sentences", "params": {"count": 2}}],
    "budget": [{"name": "reasoning_budget", "params": {"max_tokens": 3}}],
}


@pytest.mark.parametrize("name", BUILTIN)
def test_a_completion_with_a_builtin_mod_is_resumed_at_any_token(client, name):
    body = {"prompt": "A question to ask", "mods": BUILTIN[name], "seed": 4, "temperature": 0.7}
    body |= {"return_token_ids": True, "logit_bias": {"65": 9, "70": 9, "14": 9, "220": 9}}
    whole = post(client, "/v1/completions", max_tokens=24, **body).json()["choices"][0]
    for cut in range(1, 24):
        first = post(client, "/v1/completions", max_tokens=cut, **body).json()
        known = first["choices"][0]
        if known["finish_reason"] != "length":
            break
        rest = {"resume_from": first["id"], "max_tokens": 24 - cut, "return_token_ids": True}
        second = post(client, "/v1/completions", **rest).json()["choices"][0]

        assert known["token_ids"] + second["token_ids"] == whole["token_ids"]
        assert second["finish_reason"] == whole["finish_reason"]


# Other APIs


def test_a_text_completion_is_resumed_at_any_byte(client):
    text = "Plain é€😀 END more"
    body = {"prompt": "A question to ask", "stop": ["END"], **speaks(text)}
    whole = post(client, "/v1/completions", max_tokens=99, **body).json()
    for cut in range(1, len(b"Plain ") + 9 + 4):
        first = post(client, "/v1/completions", max_tokens=cut, **body).json()
        rest = {"resume_from": first["id"], "max_tokens": 99}
        second = post(client, "/v1/completions", **rest).json()
        known = first["choices"][0]["text"]
        about = second["choices"][0]["concordance"]
        known = known[: len(known) - about.get("replaced", {}).get("text", 0)]

        assert known + second["choices"][0]["text"] == whole["choices"][0]["text"]
        assert second["choices"][0]["finish_reason"] == "stop"
        assert about["resumed_from"] == first["id"]


def test_a_stream_of_a_text_completion_has_what_follows(client):
    body = {"prompt": "A question to ask", **speaks("abcdef")}
    first = post(client, "/v1/completions", max_tokens=2, **body).json()
    got = post(client, "/v1/completions", resume_from=first["id"], max_tokens=9, stream=True)
    chunks = [json.loads(line[6:]) for line in got.text.splitlines() if line.startswith("data: {")]

    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == "cdef"


@pytest.mark.parametrize("cut", [3, 9, 14, 20])
def test_a_response_is_resumed_and_continued_as_one_message(client, cut):
    said = "<think>Hm, so</think>The answer is 4."
    body = {"input": "A question to ask", **speaks(said)}
    first = post(client, "/v1/responses", max_output_tokens=cut, **body).json()
    assert first["status"] == "incomplete"
    rest = {"resume_from": first["id"], "max_output_tokens": 99}
    second = post(client, "/v1/responses", **rest).json()

    assert second["status"] == "completed"
    assert second["concordance"]["resumed_from"] == first["id"]
    assert text_of(first, second)[:2] == ("Hm, so", "The answer is 4.")
    whole = post(client, "/v1/responses", **body).json()
    turns = [
        post(client, "/v1/responses", input="Next", previous_response_id=each["id"], **speaks("x"))
        for each in (second, whole)
    ]
    tokens = [turn.json()["usage"]["input_tokens"] for turn in turns]
    assert tokens[0] == tokens[1]


def text_of(*responses):
    """The reasoning and the content of responses, joined."""
    found = {"reasoning": "", "message": ""}
    for response in responses:
        replaced = response.get("concordance", {}).get("replaced", {})
        for kind, name in (("reasoning", "reasoning"), ("message", "content")):
            found[kind] = found[kind][: len(found[kind]) - replaced.get(name, 0)]
        for item in response["output"]:
            found[item["type"]] += "".join(part["text"] for part in item["content"])
    return tuple(found.values())


@pytest.mark.parametrize("cut", [3, 9, 16, 30])
def test_a_message_of_anthropics_api_is_resumed(client, cut):
    said = f"<think>Hm</think>{CALL}"
    tool = {"name": "add", "input_schema": SCHEMA}
    asked = [{"role": "user", "content": "A question"}]
    body = {"messages": asked, "tools": [tool], **speaks(said)}
    first = post(client, "/v1/messages", max_tokens=cut, **body).json()
    assert first["stop_reason"] == "max_tokens"
    second = post(
        client, "/v1/messages", resume_from=first["id"], messages=[], max_tokens=99
    ).json()

    assert second["stop_reason"] == "tool_use"
    assert second["content"][-1]["input"] == {"a": 12}


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/v1/chat/completions", {"messages": None, "max_tokens": 9}),
        ("/v1/completions", {"prompt": None, "max_tokens": 9}),
        ("/v1/messages", {"messages": None, "system": None, "max_tokens": 9}),
        ("/v1/responses", {"input": None, "instructions": None, "max_output_tokens": 9}),
    ],
)
def test_null_is_as_if_the_field_was_left_out(client, path, fields):
    budget = "max_output_tokens" if "input" in fields else "max_tokens"
    asked = {
        "messages": [{"role": "user", "content": "Hi"}],
        "prompt": "A question",
        "input": "A question",
    }
    given = {name: asked[name] for name in fields if name in asked}
    first = post(client, path, **given, **{budget: 2}, **speaks("abcd"))
    rest = post(client, path, resume_from=first.json()["id"], **fields)

    assert (rest.status_code, first.status_code) == (200, 200), rest.text
    assert "cd" in rest.text


# Errors


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"resume_from": "chatcmpl-none"}, 404, "resume_from"),
        ({"resume_from": ""}, 400, "resume_from"),
        ({"resume_from": "{id}", "tools": [TOOL]}, 400, "tools"),
        ({"resume_from": "{id}", "messages": [{"role": "user", "content": "a"}]}, 400, "messages"),
        ({"resume_from": "{id}", "response_format": {"type": "text"}}, 400, "response_format"),
        ({"resume_from": "{id}", "regex": "a"}, 400, "regex"),
        ({"resume_from": "{id}", "reasoning_effort": "low"}, 400, "reasoning_effort"),
        ({"resume_from": "{id}", "cache_salt": "other"}, 404, "resume_from"),
        ({"resume_from": "{id}", "stop_token_ids": [10**6]}, 400, "stop_token_ids[0]"),
        ({"resume_from": "{id}", "temperature": 3}, 400, "temperature"),
        ({"messages": []}, 400, "messages"),
        ({"messages": None}, 400, "messages"),
        ({}, 400, "messages"),
    ],
)
def test_what_cannot_be_resumed_is_refused_by_name(client, fields, status, param):
    first = chat(client, max_tokens=2, **speaks("abcd"))
    body = json.loads(json.dumps({"model": client.model, **fields}).replace("{id}", first.id))
    got = client.post("/v1/chat/completions", json=body)

    assert (got.status_code, got.json()["error"]["param"]) == (status, param), got.text
    assert chat(client, messages=None, resume_from=first.id, max_tokens=9).content == "cd"


def test_a_completion_that_ended_by_itself_is_not_resumed(client):
    first = chat(client, max_tokens=9, **speaks("ab"))
    body = {"model": client.model, "resume_from": first.id}
    got = client.post("/v1/chat/completions", json=body)

    assert got.status_code == 400
    assert "ended by 'stop'" in got.json()["error"]["message"]


# Showing less


@pytest.mark.parametrize("stream", [False, True])
def test_a_message_is_shown_up_to_a_number_of_characters(client, stream):
    limits = {"truncate_thinking": 4, "truncate_response": 6}
    said = "<think>A long thought</think>A long answer"
    got = chat(client, stream=stream, **limits, **speaks(said))
    whole = chat(client, **speaks(said))

    assert (got.reasoning, got.content) == ("A lo…", "A long…")
    assert got.about["truncated"] == {"reasoning": 10, "content": 7}
    assert got.usage["completion_tokens"] == whole.usage["completion_tokens"]
    assert got.reason == "stop"


def test_a_shortened_response_is_continued_from_the_whole_one(client):
    body = {"input": "A question to ask", **speaks("A long answer")}
    short = post(client, "/v1/responses", truncate_response=3, **body).json()
    whole = post(client, "/v1/responses", **body).json()
    turns = [
        post(client, "/v1/responses", input="Next", previous_response_id=each["id"], **speaks("x"))
        for each in (short, whole)
    ]

    assert text_of(short)[1] == "A l…"
    assert short["concordance"]["truncated"] == {"content": 10}
    tokens = [turn.json()["usage"]["input_tokens"] for turn in turns]
    assert tokens[0] == tokens[1]


def test_a_text_completion_is_shown_up_to_a_number_of_characters(client):
    body = {"prompt": "A question to ask", **speaks("abcdef")}
    (choice,) = post(client, "/v1/completions", truncate_response=2, **body).json()["choices"]
    got = client.post(
        "/v1/completions", json={"model": client.model, "truncate_thinking": 1, **body}
    )

    assert choice["text"] == "ab…"
    assert choice["concordance"]["truncated"] == {"text": 4}
    assert (got.status_code, got.json()["error"]["param"]) == (400, "truncate_thinking")


# Phrases that the cut divides


LETTERS = """
from concordance_sdk import mod


@mod(name="letters", max_backtrack=0)
class Letters:
    \"\"\"Prefers the tokens of a text, and allows others.\"\"\"

    text: str

    def forward_pass(self, event, actions, tokenizer):
        ids = tokenizer.encode(self.text)
        return actions.adjust_logits(bias={ids[min(event.step, len(ids) - 1)]: 99.0})
"""
PHRASE = {"name": "letters", "params": {"text": "one two abc def ghi. and so on"}}


def divided(client, mods, cut, **fields):
    """The text of a completion that is cut within "abc def", and of the rest."""
    body = {"prompt": "A question to ask", "mods": mods, "temperature": 0, **fields}
    first = post(client, "/v1/completions", max_tokens=cut, **body).json()
    assert first["choices"][0]["finish_reason"] == "length"
    rest = post(client, "/v1/completions", resume_from=first["id"], max_tokens=12).json()
    return first["choices"][0]["text"], rest["choices"][0]["text"]


@pytest.mark.parametrize("cut", range(9, 15))
def test_a_banned_phrase_that_the_cut_divides_is_not_completed(client, cut):
    for mods, fields in (
        ([{"name": "avoid", "params": {"words": ["abc def"]}}], {}),
        ([], {"banned_strings": ["abc def"]}),
    ):
        first, rest = divided(client, [PHRASE, *mods], cut, **fields)
        assert first == "one two abc def"[:cut]
        assert "abc def" not in first + rest
        assert len(rest.encode()) >= 3


@pytest.mark.parametrize("cut", range(9, 15))
def test_a_phrase_that_the_cut_divides_is_replaced_from_the_cut_on(client, cut):
    replace = {"name": "replace", "params": {"find": "abc def", "replacement": "X"}}
    first, rest = divided(client, [replace, PHRASE], cut)

    assert first == "one two abc def"[:cut]
    assert rest.startswith("X")


@pytest.mark.parametrize("cut", range(9, 15))
def test_a_phrase_that_the_cut_divides_ends_the_completion_at_the_cut(client, cut):
    stop = {"name": "stop_at", "params": {"phrases": ["abc def"]}}

    assert divided(client, [stop, PHRASE], cut) == ("one two abc def"[:cut], "")


# Several choices


@pytest.mark.parametrize("prompt", ["A question", ["A question", "Another", "Third"]])
@pytest.mark.parametrize("n", [1, 3])
def test_each_choice_is_resumed_by_its_number(client, n, prompt):
    body = {"prompt": prompt, "n": n, "seed": 3, "ignore_eos": True, "return_token_ids": True}
    whole = post(client, "/v1/completions", max_tokens=9, **body).json()["choices"]
    first = post(client, "/v1/completions", max_tokens=4, **body).json()
    for i, choice in enumerate(first["choices"]):
        rest = {"resume_from": f"{first['id']}:{i}" if i else first["id"], "max_tokens": 5}
        second = post(client, "/v1/completions", return_token_ids=True, **rest).json()

        tokens = choice["token_ids"] + second["choices"][0]["token_ids"]
        assert tokens == whole[i]["token_ids"]


def test_a_choice_of_best_of_is_not_kept(client):
    body = {"prompt": "A question", "best_of": 2, "ignore_eos": True, "max_tokens": 4}
    first = post(client, "/v1/completions", **body).json()
    rest = {"model": client.model, "resume_from": first["id"], "max_tokens": 5}

    assert client.post("/v1/completions", json=rest).status_code == 404


def test_a_completion_is_resumed_by_the_longest_id_that_a_client_may_choose(client):
    asked = [{"role": "user", "content": "hi"}]
    body = {"model": client.model, "messages": asked, "ignore_eos": True, "n": 2, "max_tokens": 2}
    headers = {"X-Request-Id": "x" * 512}
    first = client.post("/v1/chat/completions", json=body, headers=headers).json()
    for end in ("", ":1"):
        chat(client, messages=None, resume_from=first["id"] + end, max_tokens=2)


def test_hosted_tools_cannot_change_at_a_cut(client):
    first = chat(client, max_tokens=1)
    body = {"model": client.model, "resume_from": first.id, "hosted_tools": ["python"]}
    got = client.post("/v1/chat/completions", json=body)

    assert (got.status_code, got.json()["error"]["param"]) == (400, "hosted_tools")

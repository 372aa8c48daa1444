"""Requests of each API become the same prompts of gpt-oss."""

import o200k
import pytest
from concordance_inference.harmony.encoding import TOKENS
from concordance_inference.harmony.format import HarmonyFormat
from concordance_inference.models.tokenizer import ModelTokenizer
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from concordance_inference.server.served_models import OneModel
from fake_engine import INFO, FakeEngine, says
from sandboxes import mod_catalog
from starlette.testclient import TestClient
from transformers import PreTrainedTokenizerFast

SCHEMA = {"type": "object", "properties": {"word": {"type": "string"}}}
PROMPT = (
    "Reasoning: high\n\n# Valid channels: analysis, commentary, final. Channel must be included "
    "for every message.\nCalls to these tools must go to the commentary channel: 'functions'."
    "<|end|><|start|>developer<|message|># Instructions\n\nBe brief.\n\n# Tools\n\n## functions\n\n"
    "namespace functions {\n\n// Look up.\ntype look_up = (_: {\nword?: string,\n}) => any;\n\n"
    "} // namespace functions<|end|>"
    "<|start|>user<|message|>Tide?<|end|>"
    "<|start|>assistant<|channel|>analysis<|message|>Hm.<|end|>"
    "<|start|>assistant to=functions.look_up<|channel|>commentary <|constrain|>json<|message|>"
    '{"word":"tide"}<|call|>'
    "<|start|>functions.look_up to=assistant<|channel|>commentary<|message|>Water.<|end|>"
    "<|start|>assistant"
)


@pytest.fixture(name="chat", scope="module")
def _chat():
    hf = PreTrainedTokenizerFast(tokenizer_file=str(o200k.tokenizer_json()))
    tokenizer = ModelTokenizer(hf, eos_token_ids=[200002], vocab_size=o200k.VOCAB_SIZE)
    return HarmonyFormat(tokenizer, TOKENS)


@pytest.fixture(name="post")
def _post(chat):
    """Send a request; return its response, and the prompt that it made."""
    engine = FakeEngine(says("Hello"))
    engine.model = type(INFO)(id=INFO.id, created=0, context_length=4096, vocab_size=201088)
    context = ServerContext(models=OneModel(engine, chat), mods=mod_catalog())
    http = TestClient(create_app(context), base_url="http://127.0.0.1:8000")

    def post(path, **fields):
        response = http.post(path, json={"model": INFO.id, **fields})
        prompts = [chat.decode(request.prompt_ids) for request in engine.requests]
        return response, prompts[-1] if prompts else None

    return post


MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Tide?"},
    {"role": "assistant", "reasoning_content": "Hm.", "tool_calls": [
        {"id": "c1", "type": "function",
         "function": {"name": "look_up", "arguments": '{"word":"tide"}'}}]},
    {"role": "tool", "tool_call_id": "c1", "content": "Water."},
]  # fmt: skip
TOOL = {"name": "look_up", "description": "Look up.", "parameters": SCHEMA}


def test_chat_completions(post):
    _, prompt = post(
        "/v1/chat/completions", messages=MESSAGES, reasoning_effort="high",
        tools=[{"type": "function", "function": TOOL}],
    )  # fmt: skip
    assert prompt.endswith(PROMPT)


def test_responses(post):
    response, prompt = post(
        "/v1/responses",
        instructions="Be brief.",
        reasoning={"effort": "high"},
        tools=[{"type": "function", **TOOL}],
        input=[
            {"role": "user", "content": "Tide?"},
            {"type": "reasoning", "id": "rs_1", "summary": [],
             "content": [{"type": "reasoning_text", "text": "Hm."}]},
            {"type": "function_call", "call_id": "c1", "name": "look_up",
             "arguments": '{"word":"tide"}'},
            {"type": "function_call_output", "call_id": "c1", "output": "Water."},
        ],
    )  # fmt: skip
    assert response.status_code == 200, response.text
    assert prompt.endswith(PROMPT)


def test_messages_of_anthropic(post):
    response, prompt = post(
        "/v1/messages",
        max_tokens=10,
        system="Be brief.",
        output_config={"effort": "high"},
        tools=[{"name": "look_up", "description": "Look up.", "input_schema": SCHEMA}],
        messages=[
            {"role": "user", "content": "Tide?"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": ""},
                {"type": "tool_use", "id": "c1", "name": "look_up", "input": {"word": "tide"}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "Water."}]},
        ],
    )  # fmt: skip
    assert response.status_code == 200, response.text
    assert prompt.endswith(PROMPT)


def test_prompts_are_rendered_without_generating(post, chat):
    response, _ = post("/v1/chat/completions/render", messages=MESSAGES[:2])
    assert response.json()["text"] == chat.decode(response.json()["token_ids"])
    assert response.json()["text"].endswith("user<|message|>Tide?<|end|><|start|>assistant")


def test_response_formats_are_asked_for_in_the_prompt(post):
    form = {"type": "json_schema", "json_schema": {"name": "entry", "schema": SCHEMA}}
    _, prompt = post("/v1/chat/completions", messages=MESSAGES[:2], response_format=form)
    assert "# Instructions\n\nBe brief.\n\n# Response Formats\n\n## entry\n\n{" in prompt


def test_dates_come_from_the_variables_of_the_request(post):
    given = {"conversation_start_date": "2026-11-28"}
    _, prompt = post("/v1/chat/completions", messages=MESSAGES[:2], chat_template_kwargs=given)
    assert "\nCurrent date: 2026-11-28\n" in prompt


@pytest.mark.parametrize(
    ("given", "param"),
    [({"date": "today"}, "chat_template_kwargs.date"),
     ({"model_identity": 3}, "chat_template_kwargs.model_identity"),
     ({"reasoning_effort": "huge"}, "reasoning_effort")],
)  # fmt: skip
def test_wrong_variables_are_refused(post, given, param):
    response, _ = post("/v1/chat/completions", messages=MESSAGES[:2], chat_template_kwargs=given)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


def test_results_of_unknown_calls_are_refused(post):
    response, _ = post("/v1/chat/completions", messages=MESSAGES[1:2] + MESSAGES[3:])
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "messages"

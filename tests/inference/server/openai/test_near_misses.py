"""Mistyped fields of a chat request."""

import pytest
from concordance_inference.server.openai.envelope import check_fields
from concordance_inference.server.openai.schemas import ChatCompletionRequest
from concordance_shared import InvalidRequestError

ASK = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}


def post(client, **fields):
    return client.post("/v1/chat/completions", json={**ASK, **fields})


@pytest.mark.parametrize(
    ("field", "meant"),
    [
        ("mod", "mods"),
        ("mods_", "mods"),
        ("Mods", "mods"),
        ("mod_name", "mods"),
        ("mod_params", "mods"),
        ("max_token", "max_tokens"),
        ("maxTokens", "max_tokens"),
        ("max_completion_token", "max_completion_tokens"),
        ("message", "messages"),
        ("temprature", "temperature"),
        ("topk", "top_k"),
        ("top-p", "top_p"),
        ("stops", "stop"),
        ("strean", "stream"),
        ("presence_penality", "presence_penalty"),
        ("respons_format", "response_format"),
        ("tool", "tools"),
        ("reasoning_efort", "reasoning_effort"),
        ("logprob", "logprobs"),
    ],
)
def test_a_mistyped_field_is_refused_with_the_field_that_was_meant(client, field, meant):
    response = post(client, **{field: "x"})

    assert response.status_code == 400
    error = response.json()["error"]
    assert error["param"] == field
    assert error["message"] == (f"{field} is not a field of the request; did you mean {meant!r}?")


@pytest.mark.parametrize("field", ["include_usages", "includeRetractions", "include_retraction"])
def test_a_mistyped_option_of_a_stream_is_refused(client, field):
    response = post(client, stream=True, stream_options={field: True})

    assert response.status_code == 400
    assert response.json()["error"]["param"] == f"stream_options.{field}"


EXTRAS = """
    user store metadata service_tier prediction safety_identifier prompt_cache_key priority
    request_id cache_prompt id_slot timings_per_token keep_alive provider route
    usage include background text instructions input mode chat_id session_id id features
    files variables model_item background_tasks character instruction_template preset prompt timeout
    max_retries api_key base_url tags fallbacks num_retries caching ttl draft_model language
    stream_chunk_size return_logprob top_logprobs_num rid params
    system_prompt msg role content cache_control temperature_last reasoning_split
    streaming trace_id model_id organization kv_transfer_params username
"""


@pytest.mark.parametrize("field", EXTRAS.split())
def test_fields_that_other_clients_send_are_ignored(client, field):
    assert post(client, **{field: "x"}).status_code == 200


def test_a_mistyped_field_that_is_null_is_ignored(client):
    assert post(client, mod=None, tool=None).status_code == 200


def test_other_options_of_a_stream_are_ignored(client):
    options = {"include_obfuscation": False, "continuous_usage_stats": True}

    assert post(client, stream=True, stream_options=options).status_code == 200


def test_very_many_unknown_fields_are_not_compared():
    extras = b",".join(b'"%d":1' % i for i in range(200_000))
    body = b'{"model":"m","messages":[{}],%s,"mod":"x"}' % extras

    assert b"mod" not in check_fields(body).replace(b"model", b"")


def test_a_long_name_is_not_compared():
    check_fields(b'{"model":"m","messages":[{}],"%s":1}' % (b"max_tokens" * 100))


def test_all_fields_of_the_request_are_accepted_by_their_names():
    for name in ChatCompletionRequest.__struct_fields__:
        try:
            check_fields(b'{"%s":1}' % name.encode())
        except InvalidRequestError as exc:
            raise AssertionError(name) from exc

"""The APIs that ids of completions name."""

import pytest
from concordance_inference.server.completion_ids import APIS, check_api
from concordance_shared import InvalidRequestError


@pytest.mark.parametrize("own", APIS)
@pytest.mark.parametrize("other", [*APIS, ""])
def test_a_completion_of_another_api_is_refused_with_its_path(own, other):
    if other in (own, ""):
        check_api(f"{other}1", own)
        return
    with pytest.raises(
        InvalidRequestError, match=f"is a completion of {APIS[other]}; resume it"
    ) as e:
        check_api(f"{other}1", own)
    assert e.value.param == "resume_from"


@pytest.mark.parametrize(
    ("path", "fields", "own"),
    [
        ("/v1/chat/completions", {}, "chatcmpl-"),
        ("/v1/completions", {}, "cmpl-"),
        ("/v1/messages", {"max_tokens": 5}, "msg_"),
        ("/v1/responses", {}, "resp_"),
    ],
)
def test_each_api_resumes_its_own_completions_only(client, path, fields, own):
    for name in APIS:
        body = {"model": "fake", "resume_from": f"{name}1", **fields}
        error = client.post(path, json=body).json()["error"]

        assert ("is a completion of" in error["message"]) == (name != own), error

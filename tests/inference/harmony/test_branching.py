"""Branches of completions in Harmony, by the real token ids."""

from pathlib import Path

import pytest
from concordance_inference.mods.catalog import ModCatalog
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from concordance_inference.server.served_models import OneModel
from resuming import assert_equal, chat
from starlette.testclient import TestClient

MODS = Path(__file__).parents[2] / "scripted_mods"
SCRIPT = (
    "<|channel|>analysis<|message|>They ask.<|end|><|start|>assistant"
    "<|channel|>final<|message|>It rains.<|return|>"
)


@pytest.fixture(name="client", scope="module")
def _client(gpt_oss):
    context = ServerContext(models=OneModel(gpt_oss, gpt_oss.chat), mods=ModCatalog([MODS]))
    client = TestClient(create_app(context), base_url="http://127.0.0.1:8000")
    client.model = "gpt-oss"
    return client


def says(script):
    return {"mods": [{"name": "says", "params": {"script": script}}]}


@pytest.mark.parametrize("position", [1, 4, 9])
def test_a_branch_in_harmony_is_read_from_the_beginning_of_its_turn(client, position):
    whole = chat(client, **says(SCRIPT))
    assert (whole.reasoning, whole.content) == ("They ask.", "It rains.")

    same = chat(client, messages=None, branch_from={"id": whole.id, "position": position})
    assert_equal(same, whole)
    assert same.usage["completion_tokens_details"] == whole.usage["completion_tokens_details"]


def test_another_thought_is_put_into_the_analysis(client):
    whole = chat(client, **says(SCRIPT))
    point = {"id": whole.id, "position": 3, "text": "They wait."}
    other = chat(
        client,
        messages=None,
        branch_from=point,
        stream=True,
        **says(SCRIPT.replace("ask", "wait").replace("rains", "pours")),
    )

    assert (other.reasoning, other.content) == ("They wait.", "It pours.")
    exported = client.get(f"/v1/branches/{other.id}/conversation").json()["messages"]
    assert exported[-1] == {
        "role": "assistant",
        "content": "It pours.",
        "reasoning_content": "They wait.",
    }

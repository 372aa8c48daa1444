"""The larger examples, uploaded as their READMEs say, with the official client."""

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.model
FOLDER = Path(__file__).parent.parent.parent / "examples"


@pytest.fixture(name="ask")
def _ask(embedded_server, run):
    def ask(folder, mod, text, params=None, **fields):
        pushed = run("mods", "push", FOLDER / folder, "--url", embedded_server.url)
        assert pushed.returncode == 0, pushed.stderr
        return (
            embedded_server.client.chat.completions.create(
                model=embedded_server.model,
                extra_body={"mods": [{"name": mod, "params": params or {}}]},
                messages=[{"role": "user", "content": text}],
                temperature=0,
                max_tokens=128,
                **fields,
            )
            .choices[0]
            .message
        )

    return ask


def test_the_airline_example_calls_a_tool_for_the_reservation(ask):
    tools = json.loads((FOLDER / "airline" / "tools.json").read_text())
    completion = ask("airline", "airline", "Please cancel my reservation QKX482.", tools=tools)

    (call,) = completion.tool_calls
    assert call.function.name == "get_reservation"
    assert call.function.arguments == '{"reservation_id":"QKX482"}'


def test_the_example_of_unique_items_has_no_duplicates(ask):
    colours = {"type": "array", "items": {"enum": ["red", "blue"]}, "uniqueItems": True}
    schema = {"name": "colours", "schema": {**colours, "minItems": 2, "maxItems": 2}}
    form = {"type": "json_schema", "json_schema": schema}
    completion = ask(
        "json_schema", "structured", "Name two colours.", {"tries": 9}, response_format=form, seed=1
    )

    assert sorted(json.loads(completion.content)) == ["blue", "red"]

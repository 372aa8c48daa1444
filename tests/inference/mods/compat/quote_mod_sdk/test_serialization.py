"""The upload payload of a mod of `quote_mod_sdk`."""


def test_serialize_mod_returns_a_dictionary(load):
    definition = load(
        """
from quote_mod_sdk import mod, serialize_mod

@mod
def hello(event, actions): ...

def payload(): return serialize_mod(hello, name="hi", description="says it")
"""
    )
    payload = definition.target.__wrapped__.__globals__["payload"]()

    assert payload["name"] == "hi"
    assert (payload["entrypoint"], payload["language"]) == ("hello", "python")
    assert payload["description"] == "says it"
    assert "def hello" in payload["source"]

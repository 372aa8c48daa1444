"""The payload that uploads an older mod."""


def test_a_mod_of_the_older_sdk_is_serialized_to_a_dictionary(load):
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

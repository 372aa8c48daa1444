"""Write a JSON document that follows a schema, without sampling the parts that it determines.

Run it with a scripted model, and with a real one:

    uv run python examples/json_output.py
    uv run concordance generate "Tell me of a famous book." --mods examples/json_output.py \
        --mod book
"""

import json

from concordance_sdk.constraints import JsonSchema, constrain
from concordance_sdk.testing import play

BOOK = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "maxLength": 60},
        "year": {"type": "integer", "minimum": 1450, "maximum": 2100},
        "genre": {"enum": ["novel", "poetry", "science", "history"]},
    },
    "required": ["title", "year", "genre"],
    "additionalProperties": False,
}

book = constrain(JsonSchema(BOOK), name="book")


if __name__ == "__main__":
    played = play(book, says='Opticks"1704s')  # what is left to the model
    print(played.text)
    print(json.loads(played.text)["year"] + 1)
    print(f"{played.num_forced} of {len(played.token_ids)} tokens were forced")

"""Answer with a label and a confidence, as JSON."""

from concordance_sdk.constraints import JsonSchema, constrain

FIELDS = {
    "label": {"enum": ["positive", "negative", "neutral"]},
    "confidence": {"type": "integer", "minimum": 0, "maximum": 100},
}
OBJECT = {"type": "object", "required": [*FIELDS], "additionalProperties": False}

label = constrain(JsonSchema({**OBJECT, "properties": FIELDS}), name="label")

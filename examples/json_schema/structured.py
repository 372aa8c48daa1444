"""A mod that writes documents for the request's `response_format`, and checks them."""

from typing import Any

from checks import problems, without_checked
from concordance_sdk import (
    Action,
    Actions,
    Added,
    AdjustedLogits,
    ConcordanceError,
    ForwardPass,
    Prefilled,
    Tokenizer,
    get_schemas,
    mod,
)
from concordance_sdk.constraints import Constrained, JsonSchema
from msgspec.structs import replace


@mod(max_backtrack=None)
class Structured:
    """Writes a document of the request's schema; an invalid one is replaced."""

    tries: int = 3
    temperature: float = 0.8  # from the second try on: the first may have been the most probable

    enforces_response_format = True  # so the server does not: it refuses what a grammar cannot do

    def __init__(self) -> None:
        """Constrain nothing before the schema is known."""
        self.schema: dict[str, Any] = {}
        self.is_checked = False  # what the grammar cannot express
        self.answer: Constrained | None = None
        self.begin = 0  # the step at which the document starts
        self.has_begun = False
        self.num_wrong = 0

    def prefilled(self, event: Prefilled, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """Read the schema; end the request before prefill if it cannot be enforced."""
        asked = get_schemas().response_format
        if asked is None or asked.type == "text":
            return None
        self.schema = (asked.json_schema and asked.json_schema.schema) or {"type": "object"}
        left = without_checked(self.schema)
        self.is_checked = left != self.schema
        try:
            self.answer = Constrained(JsonSchema(left))
            self.answer.prepare(tokenizer)
        except ConcordanceError as error:
            return actions.emit_error(f"response_format: {error.message}")
        return None

    def forward_pass(
        self, event: ForwardPass, actions: Actions, tokenizer: Tokenizer
    ) -> Action | None:
        """Force what the schema determines; let the model choose the rest."""
        if self.answer is None:
            return None
        if not self.has_begun or event.step < self.begin:
            self.begin, self.has_begun = event.step, True
        action = self.answer.forward_pass(event, actions, tokenizer)
        if self.num_wrong and isinstance(action, AdjustedLogits):
            return replace(action, token_temp=self.temperature)
        return action

    def added(self, event: Added, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """Follow the document, and check it when it is complete."""
        if self.answer is None:
            return None
        action = self.answer.added(event, actions, tokenizer)
        if not self.answer.is_complete:
            return action
        wrong = self._wrong(self.answer.value)
        return self._again(event, actions, wrong) if wrong else action

    def _wrong(self, document: Any) -> list[str]:
        """What is wrong with a document that follows the grammar."""
        return list(problems(document, self.schema, self.schema)) if self.is_checked else []

    def _again(self, event: Added, actions: Actions, wrong: list[str]) -> Action:
        """Backtrack over the document, if another try is left."""
        self.num_wrong += 1
        if self.num_wrong >= self.tries:
            tried = f"{self.tries} answers broke the schema, the last one because"
            return actions.emit_error(f"{tried} {', and '.join(wrong)}; ask again, or allow more")
        return actions.backtrack(event.step + len(event.added_tokens) - self.begin)

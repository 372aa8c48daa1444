"""The mod: an airline's customer service, for any client that sends the airline's tools."""

from datetime import UTC, datetime

from concordance_sdk import Action, Actions, Added, ForwardPass, Tokenizer, get_conversation, mod
from concordance_sdk.flow import FlowEngine
from desk import ENTRY, Case
from records import Records


@mod(max_backtrack=None)
class Airline:
    """Answers a customer, or calls the tool that is needed next, as the airline's policy has it."""

    now: datetime | None = None  # the time to go by: the clock's if left out

    def __init__(self) -> None:
        """Begin a case with what the conversation tells."""
        self.flow = FlowEngine(entry_question=ENTRY, state_factory=self._opened)

    def forward_pass(
        self, event: ForwardPass, actions: Actions, tokenizer: Tokenizer
    ) -> Action | None:
        """Ask, answer or act, or let the model decide."""
        return self.flow.handle_event(event, actions, tokenizer)

    def added(self, event: Added, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """Follow an answer to where it leads."""
        return self.flow.handle_event(event, actions, tokenizer)

    def _opened(self, request_id: str) -> Case:
        records = Records(get_conversation())
        return Case(request_id, records, self.now or datetime.now(UTC))

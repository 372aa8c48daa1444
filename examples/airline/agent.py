"""The mod: an airline's customer service, for any client that sends the airline's tools."""

from datetime import UTC, datetime

from concordance_sdk import get_conversation, mod
from concordance_sdk.flow import FlowEngine
from desk import ENTRY, Case
from records import Records


@mod(max_backtrack=None)
class Airline:
    """Replies to a customer, or calls the next tool, according to the airline's policy."""

    now: datetime | None = None  # the current time; the clock's if omitted

    def __init__(self) -> None:
        """Start a case from the conversation."""
        self.flow = FlowEngine(entry_question=ENTRY, state_factory=self._opened)

    def parts(self) -> list[FlowEngine[Case]]:
        """The flow, which asks, replies and acts."""
        return [self.flow]

    def _opened(self, request_id: str) -> Case:
        records = Records(get_conversation())
        return Case(request_id, records, self.now or datetime.now(UTC))

"""Facts from a conversation: the airline's records, as its tools returned them, and the messages.

Knows no policy and no questions. A malformed record ends the request with an error that names the
field, for the developers who connect the tools.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from concordance_sdk import FunctionCall, Message, tool_call_pairs
from msgspec import Meta, Struct

#: Formats in messages: a reservation (ABC123), a flight (AB123), a date.
RESERVATION_ID = r"\b[A-Z]{3}\d{3}\b"
FLIGHT_NUMBER = r"\b[A-Z]{2}\d{3}\b"
DATE = r"\b\d{4}-\d\d-\d\d\b"

#: Tools that change something, or start to.
CHANGING = ("cancel_reservation", "update_flights", "send_certificate", "transfer_to_human")


class Flight(Struct, frozen=True):
    """One leg of a reservation."""

    flight_number: str
    date: str

    def __str__(self) -> str:
        return f"{self.flight_number} on {self.date}"


class Reservation(Struct, frozen=True, kw_only=True):
    """What `get_reservation` returns."""

    reservation_id: str
    created_at: Annotated[datetime, Meta(tz=True)]
    cabin: Literal["basic_economy", "economy", "business"]
    membership: Literal["regular", "silver", "gold"]
    has_insurance: bool
    is_cancelled: bool = False
    price: int  # dollars, all passengers together
    passengers: tuple[str, ...]
    flights: tuple[Flight, ...]


Status = Literal["on time", "delayed", "cancelled", "flying", "landed", "unknown"]


class FlightStatus(Flight, frozen=True):
    """What `get_flight_status` returns."""

    status: Status


class Change(Struct, frozen=True):
    """A tool call that changes something, and whether it succeeded."""

    name: str
    arguments: dict[str, Any]
    has_failed: bool


class Records:
    """The facts after some messages. Later results replace earlier ones."""

    def __init__(self, messages: Sequence[Message]) -> None:
        """Read the messages."""
        self.reservations: dict[
            str, Reservation | None
        ] = {}  # None: no reservation with that number
        self.statuses: dict[Flight, Status] = {}
        self.changes: list[Change] = []
        self.news: Change | None = None  # the last one, if not yet reported to the customer
        self._messages = messages
        for call, answer in tool_call_pairs(messages):
            if answer is not None:
                change = self._taken(call.function, answer.text)
                self.news = change if answer is messages[-1] else None

    def _taken(self, function: FunctionCall, text: str) -> Change | None:
        """Store a result; return the change that it reports, if any."""
        arguments = msgspec.json.decode(function.arguments)
        match function.name:
            case "get_reservation":
                found = None if _is_error(text) else msgspec.json.decode(text, type=Reservation)
                self.reservations[arguments["reservation_id"]] = found
            case "get_flight_status":
                flight = msgspec.convert(arguments, Flight)
                self.statuses[flight] = "unknown"
                if not _is_error(text):
                    self.statuses[flight] = msgspec.json.decode(text, type=FlightStatus).status
            case name if name in CHANGING:
                self.changes.append(Change(name, arguments, _is_error(text)))
                return self.changes[-1]
            case _:
                pass
        return None

    @property
    def last_said(self) -> str:
        """The agent's last message to the customer."""
        said = [m.text for m in self._messages if m.role == "assistant" and m.text]
        return said[-1] if said else ""

    def mentioned(self, pattern: str) -> list[str]:
        """Matches of a pattern in the customer's messages, each once, in order."""
        said = "\n".join(m.text for m in self._messages if m.role == "user").upper()
        return list(dict.fromkeys(re.findall(pattern, said)))


def _is_error(text: str) -> bool:
    """True if a tool reported a failure: a JSON object with `error`."""
    try:
        result = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return False
    return isinstance(result, dict) and "error" in result

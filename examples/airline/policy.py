"""The airline's policy: functions of records.

No model takes part, and none can override it.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import Enum, auto

from records import Reservation, Status

#: Within this time every customer may cancel.
CHANGE_OF_MIND = timedelta(hours=24)

#: Reasons that the travel insurance covers.
INSURED_REASONS = ("illness", "weather")

#: Free bags of a passenger, by membership and cabin; each additional bag costs `BAG_PRICE` dollars.
FREE_BAGS = {
    "regular": {"basic_economy": 0, "economy": 1, "business": 2},
    "silver": {"basic_economy": 1, "economy": 2, "business": 3},
    "gold": {"basic_economy": 2, "economy": 3, "business": 4},
}
BAG_PRICE = 50

#: Compensation per passenger in dollars, for a cancelled or delayed flight.
CERTIFICATE = {"cancelled": 100, "delayed": 50}


class Ruling(Enum):
    """The policy's decision about a request of the customer."""

    ALLOWED = auto()
    REFUSED = auto()
    DEPENDS_ON_REASON = auto()
    NEEDS_HUMAN = auto()


def cancellation(
    reservation: Reservation, statuses: Sequence[Status], now: datetime, reason: str | None = None
) -> Ruling:
    """Decide whether a reservation may be cancelled with a refund.

    Args:
        reservation: The reservation to cancel.
        statuses: The statuses of its flights.
        now: The time of the request.
        reason: The customer's reason, if known.
    """
    if needs_human(statuses):
        return Ruling.NEEDS_HUMAN
    is_new = now - reservation.created_at <= CHANGE_OF_MIND
    if is_new or reservation.cabin == "business" or "cancelled" in statuses:
        return Ruling.ALLOWED
    if not reservation.has_insurance:
        return Ruling.REFUSED
    if reason is None:
        return Ruling.DEPENDS_ON_REASON
    return Ruling.ALLOWED if reason in INSURED_REASONS else Ruling.REFUSED


def change(reservation: Reservation, statuses: Sequence[Status]) -> Ruling:
    """Decide whether the flights of a reservation may be changed."""
    if needs_human(statuses):
        return Ruling.NEEDS_HUMAN
    return Ruling.REFUSED if reservation.cabin == "basic_economy" else Ruling.ALLOWED


def compensation(reservation: Reservation, statuses: Sequence[Status]) -> int:
    """The certificate that the customer gets, in dollars; 0 if none."""
    is_entitled = (
        reservation.cabin == "business"
        or reservation.has_insurance
        or reservation.membership != "regular"
    )
    worst = max((CERTIFICATE.get(status, 0) for status in statuses), default=0)
    return worst * len(reservation.passengers) if is_entitled else 0


def free_bags(reservation: Reservation) -> int:
    """The number of free checked bags per passenger."""
    return FREE_BAGS[reservation.membership][reservation.cabin]


def needs_human(statuses: Sequence[Status]) -> bool:
    """True if a person must handle it: part of the journey is flown, or its state is unknown."""
    return not {"flying", "landed", "unknown"}.isdisjoint(statuses)

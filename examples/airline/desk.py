"""The flow: questions to the model about the customer's messages, and routes after its replies.

The model understands the customer; it does not decide. It is not asked for facts that are in
records, or that a search of the customer's messages finds.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import policy
from concordance_sdk import get_schemas
from concordance_sdk.constraints import ChoicesStrat
from concordance_sdk.flow import FlowQuestion, FlowRoute, route_noop, route_tool
from policy import Ruling
from records import DATE, FLIGHT_NUMBER, RESERVATION_ID, Flight, Records, Reservation, Status

UNKNOWN = "unknown"

#: The end of the confirmation question, by intent.
SHALL_I = {"cancel": "Shall I cancel it?", "change": "Shall I change it?"}


@dataclass
class Case:
    """One request: known facts, and the model's replies."""

    request_id: str
    records: Records
    now: datetime
    answers: dict[str, str] = field(default_factory=dict)

    @property
    def reservation(self) -> Reservation:
        """The reservation in question, if it was looked up."""
        found = self.records.reservations[self.answers["reservation"]]
        assert found is not None
        return found

    @property
    def statuses(self) -> list[Status]:
        """The known statuses of its flights."""
        known = self.records.statuses
        return [known[flight] for flight in self.reservation.flights if flight in known]


Question = FlowQuestion[Case]


def ask(name: str, text: str, *choices: str) -> Question:
    """Make a question about the customer's messages; it is erased together with its reply."""
    prompt = f"({name}) {text} ({', '.join(choices)}): "
    return FlowQuestion(name, prompt, ChoicesStrat(choices), erase="all")


def find(name: str, text: str, candidates: list[str]) -> Question:
    """Make a question for one of several mentioned values; skipped if there is only one."""
    question = ask(name, text, *candidates, UNKNOWN)
    known = (candidates or [UNKNOWN])[0]
    return question.with_auto_answer(lambda _: known if len(candidates) < 2 else None)


def call(*calls: tuple[str, dict[str, Any]]) -> FlowRoute:
    """Call tools, if the request has them."""

    def act(actions: Any, _case: Case, _tokenizer: Any) -> Any:
        offered = {tool.function.name for tool in get_schemas().tools}
        if lacking := [name for name, _ in calls if name not in offered]:
            return actions.emit_error(f"`tools` lacks {lacking[0]!r}, which this agent needs")
        return actions.tool_calls([{"name": name, "arguments": given} for name, given in calls])

    return route_tool(act)


def hand_over(case: Case) -> FlowRoute:
    """Transfer to a person, with a summary."""
    about = case.answers.get("reservation", "no reservation")
    return call(("transfer_to_human", {"summary": f"{case.answers['wants']}, {about}"}))


# Intents


def already_known(case: Case) -> str | None:
    """The customer's intent, if it follows from the last action or question."""
    if case.records.news:
        return "news"
    said = case.records.last_said
    return next((wants for wants, question in SHALL_I.items() if said.endswith(question)), None)


def tell_news(case: Case) -> Any:
    """Report what was done; transfer to a person what could not be done."""
    change = case.records.news
    assert change is not None
    if change.has_failed and change.name == "transfer_to_human":
        return "I cannot reach a colleague now. Please call us: the number is on your ticket."
    if change.has_failed:
        return call(("transfer_to_human", {"summary": f"{change.name} failed: {change.arguments}"}))
    return NEWS[change.name].format(**change.arguments)


NEWS = {
    "cancel_reservation": "Reservation {reservation_id} is cancelled. You get your money back the "
    "way you paid, within seven days.",
    "update_flights": "Reservation {reservation_id} is changed, and a confirmation on its way.",
    "send_certificate": "I am sorry for the trouble. A certificate over ${amount} is on its way.",
    "transfer_to_human": "I pass you on to a colleague. Please hold on.",
}


def which_reservation(case: Case) -> Question:
    """Determine the reservation."""
    numbers = case.records.mentioned(RESERVATION_ID)
    return find("reservation", "Which reservation is it about?", numbers).then(look_up)


def look_up(case: Case) -> Any:
    """Request the necessary records, then route by intent."""
    number = case.answers["reservation"]
    if number == UNKNOWN:
        return "What is your reservation number? It has three letters and three digits."
    if number not in case.records.reservations:
        return call(("get_reservation", {"reservation_id": number}))
    if case.records.reservations[number] is None:
        return f"I cannot find a reservation {number}. Could you look the number up once more?"
    if case.reservation.is_cancelled:
        return f"Reservation {number} has been cancelled already."
    wants = case.answers["wants"]
    unknown = [f for f in case.reservation.flights if f not in case.records.statuses]
    if wants != "bags" and unknown:
        given = [{"flight_number": f.flight_number, "date": f.date} for f in unknown]
        return call(*(("get_flight_status", arguments) for arguments in given))
    return HANDLED[wants](case)


def confirmed(case: Case, what: str, act: FlowRoute) -> Any:
    """Act only if the customer was asked in these words and agreed."""
    asked = f"{what} {SHALL_I[case.answers['wants']]}"
    if case.records.last_said != asked:
        return asked
    agrees = ask("agrees", "Does the customer agree?", "yes", "no")
    return agrees.on("yes", act).then("Then I leave it as it is. What else can I do for you?")


# Actions


def cancel(case: Case) -> Any:
    """Cancel, if the policy allows it."""
    reason = case.answers.get("reason")
    number = case.reservation.reservation_id
    match policy.cancellation(case.reservation, case.statuses, case.now, reason):
        case Ruling.NEEDS_HUMAN:
            return hand_over
        case Ruling.DEPENDS_ON_REASON:
            return WHY
        case Ruling.REFUSED:
            return (
                f"I am sorry: reservation {number} cannot be cancelled. It was made more than 24 "
                "hours ago, and no insurance covers the reason."
            )
        case Ruling.ALLOWED:
            what = f"For reservation {number} you would get ${case.reservation.price} back."
            return confirmed(case, what, call(("cancel_reservation", {"reservation_id": number})))


WHY = (
    ask("reason", "Why does the customer cancel?", *policy.INSURED_REASONS, "other", UNKNOWN)
    .on(UNKNOWN, "I am sorry to hear that. May I ask for the reason?")
    .then(cancel)
)


def change(case: Case) -> Any:
    """Determine the change, if the policy allows it."""
    match policy.change(case.reservation, case.statuses):
        case Ruling.NEEDS_HUMAN:
            return hand_over
        case Ruling.REFUSED:
            return "I am sorry: flights in basic economy cannot be changed."
        case _:
            booked = [flight.flight_number for flight in case.reservation.flights]
            others = [n for n in case.records.mentioned(FLIGHT_NUMBER) if n not in booked]
            old = find("old flight", "Which flight is to be changed?", booked).then
            new = find("new flight", "Which one instead?", others).then
            day = find("new date", "On which date?", case.records.mentioned(DATE)).then(changed)
            return old(new(day))


def changed(case: Case) -> Any:
    """Ask for missing details, then for confirmation; then change the flight."""
    wanted = [case.answers[name] for name in ("old flight", "new flight", "new date")]
    if UNKNOWN in wanted:
        return MISSING[wanted.index(UNKNOWN)]
    old, new = wanted[0], Flight(wanted[1], wanted[2])
    flights = [new if f.flight_number == old else f for f in case.reservation.flights]
    given = [{"flight_number": f.flight_number, "date": f.date} for f in flights]
    number = case.reservation.reservation_id
    act = call(("update_flights", {"reservation_id": number, "flights": given}))
    what = f"You would fly with {new} instead of {old}, and pay the difference in fare."
    return confirmed(case, what, act)


MISSING = (
    "Which of your flights shall I change? Its number is on your ticket.",
    "To which flight shall I change? Please tell me its number.",
    "On which date would you like to fly? Please write it as 2025-12-31.",
)


def compensate(case: Case) -> Any:
    """Send a certificate, once, if the policy grants one."""
    number = case.reservation.reservation_id
    done = [c for c in case.records.changes if c.name == "send_certificate" and not c.has_failed]
    if number in [change.arguments["reservation_id"] for change in done]:
        return f"A certificate for reservation {number} is on its way already."
    amount = policy.compensation(case.reservation, case.statuses)
    if not amount:
        return f"I am sorry: there is no certificate for reservation {number}."
    return call(("send_certificate", {"reservation_id": number, "amount": amount}))


def tell_bags(case: Case) -> str:
    """Report the number of free bags."""
    count = policy.free_bags(case.reservation)
    return f"Each passenger has {count} free bags; each further one is ${policy.BAG_PRICE}."


def tell_status(case: Case) -> str:
    """Report the status of the flights."""
    pairs = zip(case.reservation.flights, case.statuses, strict=True)
    return " ".join(f"Flight {flight} is {status}." for flight, status in pairs)


HANDLED = {
    "cancel": cancel,
    "change": change,
    "compensation": compensate,
    "bags": tell_bags,
    "status": tell_status,
}

ENTRY: Question = (
    ask("wants", "What does the customer want?", *HANDLED, "human", "other")
    .with_auto_answer(already_known)
    .on("news", tell_news)
    .on("human", hand_over)
    .on("other", route_noop())
    .then(which_reservation)
)

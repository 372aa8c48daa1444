"""Runs the calls of one request's mods so that they can stop in the middle and continue later."""

from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, TypeVar, cast

from greenlet import GreenletExit, getcurrent

from concordance_inference.suspension import Awaited, SuspendableCall

if TYPE_CHECKING:
    from concordance_inference.engine.parking.parking import Parking
    from concordance_inference.engine.request.request_mods import RequestMods

P = ParamSpec("P")
T = TypeVar("T")

#: Time that the steps of the batch wait for late answers of one request, in seconds in total.
PATIENCE_S = 0.05


class RequestCalls:
    """The calls of one request's mods, one at a time.

    Mods are called deep inside the rules of a position (`ModDispatch`): one mod's action decides
    if the next mod is called. A mod in another process answers later, so the whole call runs on a
    stack of its own, a greenlet. `await_answer` leaves this stack as it is and returns to the
    engine, which continues the batch; `proceed` continues the call where it stopped.

        engine     run(take_sampled) ┐                    ┌ other rows ┐ proceed() ┐
        greenlet                     └ ask, await_answer  ┘            └───────────┘ action

    A request whose mods are all in this process is called directly, which costs nothing.
    """

    def __init__(
        self, mods: "RequestMods", parking: "Parking", fail: Callable[[Exception], None]
    ) -> None:
        """Start without a call.

        Args:
            mods: The mods.
            parking: Continues the calls of this request when their answers arrive.
            fail: Ends the request, with what a call raised that may be parked.
        """
        self._mods = mods
        self._parking = parking
        self._fail = fail
        self._answer: object = None  # of `ask`
        self._greenlet: SuspendableCall | None = None
        self.is_abandoned = False  # True if a call ended since its request does
        self.is_parked = False  # True if a call waits for an answer; nothing is decided until then
        self.awaited: Awaited | None = None  # what it waits for
        self.patience_s = PATIENCE_S
        self._then: list[Callable[[], None]] = []  # called when the parked call is over

    @property
    def has_answer(self) -> bool:
        """True if the answer to `ask` is there, and has not been taken yet."""
        return self._answer is not None

    @property
    def is_busy(self) -> bool:
        """True if a call is parked, or if its answer has not been taken yet."""
        return self.is_parked or self.has_answer

    def when_over(self, then: Callable[[], None]) -> None:
        """Call a function when the parked call is over; now if none is parked."""
        if self.is_parked:
            self._then.append(then)
        else:
            then()

    def ask(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Run a call that returns something; `None` if a mod may answer late: `take_answer`."""
        if not self._mods.may_park:
            return call(*args, **kwargs)
        if self._answer is None:
            self.start(self._keep, call, *args, **kwargs)
        return None

    def take_answer(self) -> object:
        """Return what the call of `ask` returned, once; `None` while it is parked."""
        answer, self._answer = self._answer, None
        return answer

    def _keep(self, call: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        self._answer = call(*args, **kwargs)

    def run(self, call: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Run a call until it returns or waits for an answer.

        Args:
            call: The call.
            args: Its arguments.
            kwargs: Its arguments by name.

        Raises:
            Exception: What the call raised, if all mods are in this process.
        """
        if self._mods.may_park:
            self.start(call, *args, **kwargs)
        else:
            call(*args, **kwargs)

    def start(self, call: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Run a call that may be parked even if none of the mods may: it adds such a mod."""
        if self._greenlet is not None and getcurrent() is self._greenlet:
            call(*args, **kwargs)  # a part of the call that runs
            return
        assert self._greenlet is None, "one call at a time"
        self._greenlet = SuspendableCall(lambda: call(*args, **kwargs))
        if not self._switch():
            self._parking.add(self)

    def proceed(self) -> bool:
        """Continue the parked call, whose answer has arrived or is overdue.

        Returns:
            True if it is over, False if it waits for another answer.
        """
        is_over = self._switch()
        if is_over:
            self._parking.discard(self)
            self._notify()
        return is_over

    def abandon(self) -> None:
        """End the parked call, since the request ends: it raises `GreenletExit` where it waits."""
        if self.is_parked:
            self._mods.close()
            parked = cast(SuspendableCall, self._greenlet)
            self._parking.discard(self)
            self.is_parked, self.awaited = False, None
            self.is_abandoned = parked.is_abandoned = True
            try:
                parked.throw(GreenletExit)
            except Exception as exc:
                self._fail(exc)
            self._greenlet = None
            self._notify()

    def _notify(self) -> None:
        waiting, self._then = self._then, []
        for then in waiting:
            then()

    def _switch(self) -> bool:
        running = cast(SuspendableCall, self._greenlet)
        self.is_parked, self.awaited = False, None
        try:
            awaited = running.switch()
        except BaseException as exc:
            self._greenlet = None
            self._parking.discard(self)
            if not isinstance(exc, Exception):
                raise
            self._fail(exc)
            return True
        if running.dead:
            self._greenlet = None
            return True
        self.is_parked, self.awaited = True, awaited
        return False

"""Finds the request that a command is for, wherever it is: in a row, in the queue, or paused."""

import logging
from collections.abc import Callable, Mapping, Sequence

from concordance_sdk.tokenizer import Tokenizer
from concordance_shared import EngineError, EngineStoppedError

from concordance_inference.control import (
    AttachMod,
    RequestStatus,
    RequestView,
    State,
    UnknownRequestError,
)
from concordance_inference.engine.config import EngineConfig
from concordance_inference.engine.control.pauses import Pauses
from concordance_inference.engine.control.row_control import RowControl
from concordance_inference.engine.control.ticket import Ticket
from concordance_inference.engine.request.ended import completion_so_far
from concordance_inference.engine.request.late_calls import expect_late_answers
from concordance_inference.engine.request.row import Row
from concordance_inference.engine.scheduling.admission import Admission
from concordance_inference.resume.ended import EndedCompletion

logger = logging.getLogger(__name__)


class LiveControl:
    """Applies commands between two steps, or leaves them with a row that waits for its token.

    the request is                        a command is applied
    in a row, its next token on its way   after the events of that token
    in a row, prefilling                  now
    in the queue                          now; its mods see the prompt first
    paused                                now
    """

    def __init__(self, admission: Admission, tokenizer: Tokenizer, config: EngineConfig) -> None:
        """Control no request yet."""
        self._admission = admission
        self._tokenizer = tokenizer
        self._pauses = Pauses(max_paused=config.max_paused, limit_s=config.pause_limit_s)
        self._ends_paused = config.ends_paused

    def submit(self, request_id: str, ticket: Ticket, rows: Sequence[Row]) -> None:
        """Apply a command, or leave it with its row.

        Args:
            request_id: The request.
            ticket: The command.
            rows: The rows of the batch.
        """
        row = self._find(request_id, rows)
        if row is None:
            if ticket.claim():
                ticket.reply(_unknown(request_id))
            return
        if row.control is None:
            row.control = RowControl(row, self._tokenizer, self._pauses)
        if isinstance(ticket.command, AttachMod) and ticket.command.instance.may_park:
            expect_late_answers(row)  # whenever the command is applied
        row.control.add(ticket)
        if not (row.speculation.is_pending or row.calls.is_busy):
            row.calls.start(self._apply, row, row.control, is_in_batch=row in rows)

    def view(self, request_id: str, rows: Sequence[Row]) -> RequestView | UnknownRequestError:
        """Copy what a request has so far."""
        row = self._find(request_id, rows)
        if row is None:
            return _unknown(request_id)
        state = row.state
        return RequestView(
            prompt_ids=tuple(state.token_ids[: state.prompt_len]),
            completion_ids=tuple(state.completion_ids),
            num_edits=state.num_edits,
            context=row.mods.context,
            mods=row.mods.names,
        )

    def read_completion(
        self,
        request_ids: Sequence[str],
        rows: Sequence[Row],
        receive: Callable[[EndedCompletion | None], None],
    ) -> None:
        """Copy what it takes to branch off a request, between two of its decisions.

        Args:
            request_ids: Ids that it may have.
            rows: The rows of the batch.
            receive: Called with the copy; with `None` if the request does not run. Later if one of
                its mods is late.
        """
        found = (self._find(request_id, rows) for request_id in request_ids)
        row = next((each for each in found if each is not None), None)
        if row is None:
            receive(None)
        else:
            row.calls.when_over(lambda: receive(completion_so_far(row)))

    def statuses(self, rows: Sequence[Row]) -> Mapping[str, RequestStatus]:
        """Describe every request that has not ended."""
        found = {row.request.request_id: _status(row, None) for row in rows if not row.is_over}
        for waiting in self._admission.queue.everything:
            if waiting.row is not None:
                state: State = "paused" if waiting.row.is_paused else "waiting"
                status = _status(waiting.row, state)
            else:
                request = waiting.request
                status = RequestStatus(
                    request_id=request.request_id,
                    state="waiting",
                    prompt_tokens=len(request.prompt_ids),
                    mods=tuple(call.name for call in request.mods),
                )
            found[status.request_id] = status
        return found

    @property
    def next_s(self) -> float | None:
        """Time until a paused request continues by itself, in seconds; `None` without one."""
        return self._pauses.next_s

    def expire(self) -> None:
        """Continue, or end, the requests that were paused for too long."""
        for row in self._pauses.expired():
            assert row.control is not None, "paused"
            row.control.resume()
            if self._ends_paused and not row.is_concluding:
                row.state.fail(
                    EngineStoppedError("the request was paused for longer than this server allows")
                )
            row.control.note("resume", reason="time limit")
            self._settle(row, is_in_batch=False)

    def _find(self, request_id: str, rows: Sequence[Row]) -> Row | None:
        for row in rows:
            if row.request.request_id == request_id and not row.output.is_concluded:
                return row
        return self._admission.row_of(request_id)

    def _apply(self, row: Row, control: RowControl, *, is_in_batch: bool) -> None:
        try:
            control.apply()
            row.output.follow()
            row.speculation.drop_stale_logits()
        except Exception as exc:
            logger.exception("a command raised; its request ends with an error")
            row.state.fail(EngineError(f"a command failed with {type(exc).__name__}"))
        self._settle(row, is_in_batch=is_in_batch)

    def _settle(self, row: Row, *, is_in_batch: bool) -> None:
        """Report to the client, and move a request that was paused, resumed or ended."""
        if row.is_over and not row.output.is_concluded:
            self._admission.queue.remove(row.request.request_id)
            self._admission.conclude(row)
        elif not is_in_batch:
            self._admission.queue.sort(row)
            row.output.report()


def _status(row: Row, state: State | None) -> RequestStatus:
    current = row.state
    if state is None:
        is_prefilling = current.num_cached < current.prompt_len and not current.num_completion
        state = "prefilling" if is_prefilling else "running"
        state = "paused" if row.is_paused else state
    return RequestStatus(
        request_id=row.request.request_id,
        state=state,
        prompt_tokens=current.prompt_len,
        completion_tokens=current.num_completion,
        mods=row.mods.names,
    )


def _unknown(request_id: str) -> UnknownRequestError:
    return UnknownRequestError(
        f"there is no running request {request_id!r:.140}; it may have ended"
    )

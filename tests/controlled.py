"""Sends commands to an engine that a test runs step by step."""

from concordance_inference.engine.control.ticket import Ticket


class Sent:
    """A command and its reply, once there is one."""

    def __init__(self, engine, request_id, command):
        self.replies = []
        self.ticket = Ticket(command, self.replies.append)
        engine.control.submit(request_id, self.ticket, engine.rows)

    @property
    def outcome(self):
        """The one reply."""
        (reply,) = self.replies
        return reply


def send(engine, request, command):
    """Send a command between two steps."""
    return Sent(engine, request.request_id, command)


def row_of(engine, request):
    """The row of a running request."""
    return next(row for row in engine.rows if row.request.request_id == request.request_id)


def step_until(engine, request, length):
    """Run steps until the completion of a request has this length."""
    for _ in range(200):
        rows = [row for row in engine.rows if row.request.request_id == request.request_id]
        if rows and rows[0].state.num_completion >= length:
            return
        engine.step()
    raise AssertionError(f"the completion has not reached {length} tokens")

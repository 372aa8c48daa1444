"""Workers that write to their channel themselves, and replies that no worker would send."""

import os
import random
import socket

import msgspec
import pytest
from concordance_inference.sandbox.lease import Lease
from concordance_inference.sandbox.memory import SharedMemory
from concordance_inference.sandbox.options import SandboxOptions
from concordance_inference.sandbox.outcomes import Answered, LeaseFailed, ReadRequested, Ready
from concordance_inference.sandbox.protocol import events, replies
from concordance_inference.sandbox.protocol.framing import HEADER, IN_MEMORY, Layout
from concordance_inference.sandbox.requests import LeaseRequest, begin_of
from concordance_inference.sandbox.waiting import wait_for
from concordance_inference.sandbox.worker_handle import WorkerHandle
from sandboxes import added, forward_pass, handler, leased, source_of

FORGED = {
    "unsolicited replies": "for _ in range(5000): os.write(3, REPLY)",
    "a reply with another number": "os.write(3, REPLY)",
    "a header that announces a gigabyte": "os.write(3, b'\\0\\0\\0\\x40')",
    "a body in memory beyond its end": "os.write(3, b'\\xff\\xff\\xff\\xff')",
    "text": "os.write(3, b'\\x05\\0\\0\\0hello')",
    "a closed channel": "os.close(3)",
    "a closed channel and a loop": "os.close(3)\n    while True: pass",
}

FORGER = """
import os
import msgspec
from concordance_sdk import *
body = msgspec.msgpack.encode(["a", 0, [], "", 0, None, None])
REPLY = len(body).to_bytes(4, "little") + body

@mod(on=[Added])
def tested(event, actions):
    {body}
"""


@pytest.mark.parametrize("name", FORGED)
def test_worker_that_forges_replies_is_killed(sandbox, name):
    lease, _ = leased(sandbox, source_of(FORGER.format(body=FORGED[name])))
    lease.send([added(0, b"a")])
    outcome = wait_for(lease)
    lease.kill()
    assert isinstance(outcome, LeaseFailed)
    codes = {"mod_protocol"} if name != "a closed channel" else {"mod_protocol", "mod_died"}
    assert outcome.error.code in codes


def test_half_a_header_costs_nothing_until_the_deadline(quick_sandbox):
    body = "os.write(3, b'\\x05')\n    while True: pass"
    lease, _ = leased(quick_sandbox, source_of(FORGER.format(body=body)))
    lease.send([added(0, b"a")])
    outcome = wait_for(lease)
    lease.kill()
    assert outcome.error.code == "mod_timeout"


def test_reply_after_the_reply_is_a_violation(sandbox):
    text = FORGER.format(body="pass") + (
        "    real = os.write\n"
        "    def twice(fd, data):\n        real(fd, data)\n        return real(fd, data)\n"
        "    os.write = twice\n"
    )
    lease, _ = leased(sandbox, source_of(text))
    outcome = None
    for step in range(3):  # the second reply may arrive after the first was taken
        lease.send([added(step, b"a")])
        if isinstance(outcome := wait_for(lease), LeaseFailed):
            break
    lease.kill()
    assert outcome.error.code == "mod_protocol"


def test_handler_that_reads_without_end_is_a_violation(sandbox):
    source = handler("while True: event.logits.entropy()", event="ForwardPass")
    lease, _ = leased(sandbox, source)
    lease.send([forward_pass(0, [0.0] * 257)])
    while isinstance(outcome := wait_for(lease), ReadRequested):
        lease.answer(1.0)
    lease.kill()
    assert outcome.error.code == "mod_protocol"
    assert "read more than 64 values" in outcome.error.message
    assert "@mod(logits=8)" in outcome.error.message


# Without a process: the test is the worker.


class Forger:
    """A lease, and the worker's end of its channel."""

    def __init__(self):
        ours, self.channel = socket.socketpair()
        ours.setblocking(False)
        self.memory = SharedMemory(Layout(width=257))
        self.was_killed = False
        worker = WorkerHandle(1, ours, self.memory, self._kill)
        begin = begin_of(LeaseRequest(source=source_of("")))
        self.lease = Lease(worker, begin, SandboxOptions(), width=257)
        self.send(replies.Up({}))
        instance = replies.SentInstance("tested", ("Added",), None)
        self.send(replies.SentReady(0, (instance,), "", None))
        assert isinstance(self.lease.poll(), Ready)

    def _kill(self, number):
        self.was_killed = True

    def send(self, reply):
        body = reply if isinstance(reply, bytes) else replies.ENCODER.encode(reply)
        self.channel.sendall(HEADER.pack(len(body)) + body)

    def asked(self):
        """Send the event; return the number of the message."""
        self.lease.send([added(0, b"a"), added(0, b"a")])
        data = self.channel.recv(1 << 20)
        begin = HEADER.size + HEADER.unpack(data[: HEADER.size])[0]
        messages = [data[HEADER.size : begin], data[begin + HEADER.size :]]
        return events.DECODER.decode(messages[-1] or messages[0]).seq

    def close(self):
        self.lease.kill()
        self.channel.close()


@pytest.fixture
def forger():
    each = Forger()
    yield each
    each.close()


VALID = [
    replies.Reply(0, (replies.SentResult(replies.SentForce(b"\1\0\0\0")),), "log", 5, None, None),
    replies.Reply(
        0,
        (replies.SentResult(None), replies.SentResult(replies.SentBacktrack(1, None), (b"{}",))),
        "",
        5,
        replies.SentShared(((3, True, None),), ((3, None),)),
        None,
    ),
    replies.Reply(
        0,
        (
            replies.SentResult(
                replies.SentLogits(True, False, {1: 0.5}, b"\1\0\0\0", b"", b"\xff", 0.5)
            ),
        ),
        "",
        0,
        None,
        None,
    ),
    replies.Reply(
        0,
        (),
        "",
        1,
        None,
        replies.SentFailure("mod_raised", "no", "Added", 1, None, "trace"),
    ),
    replies.SentRead(0, 0, "logprobs", 0, b"\1\0\0\0"),
]


def mutated(body, draw):
    """Change, insert, remove or repeat bytes."""
    data = bytearray(body)
    for _ in range(draw.choice((1, 1, 1, 2, 5))):
        at = draw.randrange(len(data) + 1)
        kind = draw.randrange(4)
        if kind == 0 and at < len(data):
            data[at] = draw.randrange(256)
        elif kind == 1:
            data[at:at] = draw.randbytes(draw.randrange(1, 9))
        elif kind == 2:
            del data[at : at + draw.randrange(1, 9)]
        else:
            data[at:at] = data[at : at + 20] * draw.randrange(1, 50)
    return bytes(data)


def is_contained(forger, body):
    """True if a reply is accepted, or ends the lease with `mod_protocol`."""
    seq = forger.asked()
    decoded = body.replace(b"\xce\x7f\x7f\x7f\x7f", b"\xce" + seq.to_bytes(4, "big"))
    forger.send(decoded)
    outcome = forger.lease.poll()
    if isinstance(outcome, LeaseFailed) and not outcome.can_finish:
        return outcome.error.code == "mod_protocol" and forger.was_killed
    return outcome is None or isinstance(outcome, Answered | ReadRequested | LeaseFailed)


def with_seq(reply):
    """Encode a reply with a number that `is_contained` replaces by the right one."""
    return replies.ENCODER.encode(msgspec.structs.replace(reply, seq=0x7F7F7F7F))


def fuzz(seed, rounds):
    """Send mutated replies; return those that are not contained."""
    draw, found = random.Random(seed), []
    forger = Forger()
    for _ in range(rounds):
        body = mutated(with_seq(draw.choice(VALID)), draw)[:60_000]
        if not is_contained(forger, body):
            found.append(body)
        forger.close()
        forger = Forger()
    forger.close()
    return found


def test_mutated_replies_are_accepted_or_end_the_worker():
    assert fuzz("sandbox", int(os.environ.get("FUZZ_ROUNDS", "300"))) == []


@pytest.mark.parametrize("reply", VALID)
def test_valid_replies_are_accepted(forger, reply):
    seq = forger.asked()
    forger.send(msgspec.structs.replace(reply, seq=seq))
    outcome = forger.lease.poll()
    assert not (isinstance(outcome, LeaseFailed) and outcome.error.code == "mod_protocol")


NESTED = b"\x91" * 60_000
BAD_REPLIES = {
    "another number": lambda seq: replies.Reply(seq + 1, (), "", 0, None, None),
    "no results": lambda seq: replies.Reply(seq, (), "", 0, None, None),
    "too many results": lambda seq: replies.Reply(
        seq, (replies.SentResult(None),) * 3, "", 0, None, None
    ),
    "results after an action": lambda seq: replies.Reply(
        seq,
        (replies.SentResult(replies.SentForce(b"")), replies.SentResult(None)),
        "",
        0,
        None,
        None,
    ),
    "half a token": lambda seq: replies.Reply(
        seq, (replies.SentResult(replies.SentForce(b"\1")),), "", 0, None, None
    ),
    "a report that is a list": lambda seq: replies.Reply(
        seq,
        (replies.SentResult(replies.SentForce(b""), (b"[1]",)),),
        "",
        0,
        None,
        None,
    ),
    "a report that is nested deeply": lambda seq: replies.Reply(
        seq,
        (replies.SentResult(replies.SentForce(b""), (b'{"a":' + b"[" * 20_000,)),),
        "",
        0,
        None,
        None,
    ),
    "an unknown code": lambda seq: replies.Reply(
        seq, (), "", 0, None, replies.SentFailure("internal_error", "", None, None, None, "")
    ),
    "an error of requests at an event": lambda seq: replies.Reply(
        seq, (), "", 0, None, replies.SentFailure("invalid_value", "", None, None, None, "")
    ),
    "an error of the sandbox at an event": lambda seq: replies.Reply(
        seq, (), "", 0, None, replies.SentFailure("sandbox_unavailable", "", None, None, None, "")
    ),
    "a second ready": lambda seq: replies.SentReady(0, (), "", None),
    "nested arrays": lambda seq: NESTED,
    "an empty body": lambda seq: b"",
    "extra bytes": lambda seq: (
        replies.ENCODER.encode(
            replies.Reply(seq, (replies.SentResult(None),) * 2, "", 0, None, None)
        )
        + b"\0"
    ),
    "an extra field": lambda seq: msgspec.msgpack.encode(
        ["a", seq, [[None, []], [None, []]], "", 0, None, None, 1]
    ),
    "text that is not UTF-8": lambda seq: msgspec.msgpack.encode(
        ["a", seq, [[None, []], [None, []]], "zzzz", 0, None, None]
    ).replace(b"zzzz", b"\xff\xff\xff\xff"),
    "too much text": lambda seq: msgspec.msgpack.encode(
        ["a", seq, [[None, []], [None, []]], "z" * 30_000, 0, None, None]
    ),
    "a negative number": lambda seq: msgspec.msgpack.encode(
        ["a", seq, [[["B", -1, None], []]], "", 0, None, None]
    ),
    "a bool for a number": lambda seq: msgspec.msgpack.encode(
        ["a", seq, [[["B", True, None], []]], "", 0, None, None]
    ),
    "a read of an event that was not sent": lambda seq: replies.SentRead(seq, 2, "entropy"),
}


@pytest.mark.parametrize("name", BAD_REPLIES)
def test_reply_that_breaks_the_protocol_ends_the_worker(forger, name):
    forger.send(BAD_REPLIES[name](forger.asked()))
    outcome = forger.lease.poll()
    assert isinstance(outcome, LeaseFailed)
    assert outcome.error.code == "mod_protocol"
    assert forger.was_killed
    assert forger.lease.poll() is None


def test_reply_in_memory_is_copied_before_it_is_decoded(forger):
    seq = forger.asked()
    reply = replies.Reply(seq, (replies.SentResult(None),) * 2, "", 0, None, None)
    body = replies.ENCODER.encode(reply)
    forger.memory.write(forger.memory.layout.out_body, body)
    forger.channel.sendall(HEADER.pack(len(body) | IN_MEMORY))
    assert isinstance(forger.lease.poll(), Answered)


def test_size_of_the_shared_memory_cannot_change():
    memory = SharedMemory(Layout(width=8))
    for size in (0, memory.layout.size + 1):
        with pytest.raises(PermissionError):
            os.ftruncate(memory.fd, size)
    memory.close()

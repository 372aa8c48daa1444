"""A mix of hostile and healthy mods, at random: `SOAK_S=600 pytest test_soak.py` for longer."""

import os
import random
import time
from pathlib import Path

from concordance_inference.sandbox.outcomes import Answered
from concordance_inference.sandbox.requests import LeaseRequest
from concordance_inference.sandbox.waiting import wait_for
from concordance_shared import ForceTokens
from sandboxes import added, handler, leased, outcome_of, source_of

HEALTHY = handler("return actions.force_tokens([event.step % 256, len(event.added_tokens)])")

HOSTILE = [
    handler("1 / 0"),
    handler("import os; os._exit(3)"),
    handler("import os; os.write(3, b'zzzzzzzz')"),
    handler("import os; os.close(3)"),
    handler("import ctypes; ctypes.string_at(0)"),
    handler("bytearray(8 << 30)"),
    handler("return actions.force_tokens([-1])"),
    handler("print('x' * 100_000)"),
    handler("return actions.report(x='y' * 300_000)"),
    source_of("1 / 0"),
    source_of("import socket; socket.socket()"),
    source_of("(" * 1000),
]


def num_fds():
    return len(list(Path("/proc/self/fd").iterdir()))


def settle(sandbox):
    end = time.monotonic() + 20
    while sandbox.status.num_leased and time.monotonic() < end:
        time.sleep(0.01)
    assert sandbox.status.num_leased == 0


def test_healthy_mods_are_right_beside_hostile_ones(sandbox):
    seed = os.environ.get("SOAK_SEED", "soak")
    draw, end = random.Random(seed), time.monotonic() + float(os.environ.get("SOAK_S", "1"))
    outcome_of(sandbox, HEALTHY)
    settle(sandbox)
    before, rounds = num_fds(), 0
    healthy, _ = leased(sandbox, HEALTHY)
    while time.monotonic() < end or rounds < 5:
        rounds += 1
        hostile = sandbox.lease(LeaseRequest(source=draw.choice(HOSTILE)))
        step, tokens = draw.randrange(1000), draw.randbytes(draw.randrange(1, 250))
        healthy.send([added(step, tokens)])
        outcome = wait_for(healthy)
        assert isinstance(outcome, Answered), (seed, rounds, outcome)
        assert outcome.results[0].action == ForceTokens((step % 256, len(tokens))), (seed, rounds)
        if draw.random() < 0.8:  # else its request ends before it has answered
            wait_for(hostile)
            if hostile.is_idle:
                hostile.send([added(0, b"a")])
                wait_for(hostile)
        hostile.kill()
    healthy.kill()
    settle(sandbox)
    assert num_fds() <= before, (seed, rounds)

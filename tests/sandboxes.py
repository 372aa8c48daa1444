"""Leases of isolated mods, for tests: a source, events, outcomes."""

import atexit
import textwrap
import time
from contextlib import contextmanager

from concordance_inference.mods.catalog import ModCatalog
from concordance_inference.sandbox.options import SandboxOptions
from concordance_inference.sandbox.outcomes import Ask
from concordance_inference.sandbox.protocol.events import ModSource
from concordance_inference.sandbox.requests import LeaseRequest
from concordance_inference.sandbox.supervisor import Supervisor
from concordance_inference.sandbox.waiting import wait_for
from concordance_shared import Added, Finished, FinishReason, ForwardPass, Prefilled, Sampled
from concordance_shared.events import ContextInfo
from msgspec.structs import replace

#: Deadlines that a busy machine keeps.
PATIENT = SandboxOptions(up_s=60, load_s=60, prefilled_s=60, event_s=60)


def started(options):
    """Return a sandbox that has been tested."""
    supervisor = Supervisor(options)
    supervisor.start()
    deadline = time.monotonic() + 120
    while not supervisor.status.is_available and time.monotonic() < deadline:
        time.sleep(0.01)
    return supervisor


@contextmanager
def limited(**limits):
    """A sandbox that was tested with the deadlines of `PATIENT`, and then has these limits."""
    supervisor = started(PATIENT)
    supervisor.options = replace(PATIENT, **limits)
    try:
        yield supervisor
    finally:
        supervisor.stop()


def source_of(text, *, name="tested", entrypoint="tested"):
    """Return the source of a mod; `tested` is its function or class."""
    text = textwrap.dedent(text)
    return ModSource(name=name, files={"m.py": text}, module="m", entrypoint=entrypoint)


def handler(body, *, event="Added"):
    """Return the source of a mod whose handler has this body."""
    indented = textwrap.indent(textwrap.dedent(body), "    ")
    return source_of(
        "from concordance_sdk import *\n"
        f"@mod(on=[{event}])\ndef tested(event, actions, tokenizer):\n{indented}\n"
    )


def leased(sandbox, source, **request):
    """Lease a worker; wait for its first outcome, and return both."""
    lease = sandbox.lease(LeaseRequest(source=source, **request))
    return lease, wait_for(lease)


def outcome_of(sandbox, source, *asks, **request):
    """Return the outcome of events, or of loading; the lease is ended."""
    lease, outcome = leased(sandbox, source, **request)
    try:
        if lease.is_idle:
            lease.send(asks or [added(0, b"a")])
            outcome = wait_for(lease)
        return outcome
    finally:
        lease.kill()


def prefilled(tokens=b"prompt", *, max_steps=16, instance=0):
    prompt = ContextInfo(tokens=tuple(tokens))
    return Ask(
        instance, Prefilled(request_id="r", step=0, max_steps=max_steps, context_info=prompt)
    )


def forward_pass(step, logits, sent=None, *, instance=0):
    return Ask(instance, ForwardPass(request_id="r", step=step, logits=logits), sent)


def sampled(step, token_id, *, instance=0):
    return Ask(instance, Sampled(request_id="r", step=step, sampled_token=token_id))


def added(step, tokens, *, forced=False, instance=0):
    event = Added(request_id="r", step=step, added_tokens=tuple(tokens), forced=forced)
    return Ask(instance, event)


def finished(step, *, instance=0):
    event = Finished(request_id="r", step=step, finish_reason=FinishReason.STOP)
    return Ask(instance, event)


class LazySandbox:
    """A sandbox that all tests of a process share, started by the first that uploads a mod."""

    def __init__(self):
        self._started = None

    def __getattr__(self, name):
        """Return what the sandbox has; start it before."""
        if self._started is None:
            self._started = started(PATIENT)
            atexit.register(self._started.stop)
        return getattr(self._started, name)


#: For catalogs of mods in tests. Its deadlines are those that a busy machine keeps.
SANDBOX = LazySandbox()


def mod_catalog(paths=()):
    """A catalog that accepts uploads."""
    return ModCatalog(paths, SANDBOX)

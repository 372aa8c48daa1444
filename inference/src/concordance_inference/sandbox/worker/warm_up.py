"""Runs a mod in the zygote before it forks, so that what the interpreter caches is shared.

Code that runs for the first time writes to its own pages: specialized bytecode, type caches, lazily
made objects. In a worker, each such page becomes a private copy.
"""

import gc
from mmap import mmap
from typing import TypeVar

import msgspec
from concordance_sdk.testing import ByteTokenizer
from concordance_shared import Conversation, Message

from concordance_inference.sandbox.confinement.platform import prepare
from concordance_inference.sandbox.protocol import events, replies
from concordance_inference.sandbox.protocol.framing import Layout
from concordance_inference.sandbox.worker.channel import Channel
from concordance_inference.sandbox.worker.host import ModHost
from concordance_inference.sandbox.worker.models import WorkerModel
from concordance_inference.sandbox.worker.output import CappedOutput

M = TypeVar("M", events.Begin, events.Handle)

#: The interpreter specializes a function within some calls.
_ROUNDS = 20

#: A mod that uses what most mods use.
_SAMPLE = '''
import json
import re
from concordance_sdk import Added, ForwardPass, get_conversation, mod

@mod
class sample:
    """A sample."""

    words: list[str] = []
    limit: int = 3

    def __init__(self):
        self.num_seen = 0

    def prefilled(self, event, actions, tokenizer):
        self.text = tokenizer.decode(event.context_info.tokens) + get_conversation()[-1].text

    def forward_pass(self, event, actions):
        if event.step % 2:
            return actions.adjust_logits(bias={1: 1.5}, ban=[2])

    def sampled(self, event, actions):
        return actions.report(step=event.step)

    def added(self, event, actions, tokenizer):
        print("added", event.step)
        if event.step % 2:
            return actions.force_tokens(tokenizer.encode("a"))
        return actions.backtrack(1) if event.step % 3 else None
'''


class _SilentChannel(Channel):
    """A channel whose messages are encoded, and not sent."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(-1, mmap(-1, layout.size), layout)

    def send(self, reply: replies.FromWorker) -> None:
        replies.ENCODER.encode(reply)


def warm_up(output: CappedOutput) -> None:
    """Load a mod and let it handle events.

    Args:
        output: Takes what it prints.
    """
    prepare()
    layout = Layout(width=ByteTokenizer.vocab_size, to_worker=4096, to_engine=4096)
    model = WorkerModel(ByteTokenizer(), layout.width)
    source = events.ModSource(
        name="sample", files={"sample.py": _SAMPLE}, module="sample", entrypoint="sample"
    )
    begin = events.Begin(
        source=source,
        parameters=msgspec.Raw(msgspec.msgpack.encode({"limit": 4})),
        strict=True,
        param="mods[0]",
        model="",
        request_id="warm-up",
        conversation=Conversation(messages=(Message(role="user", content="a"),)),
    )
    for _ in range(3):
        host = ModHost(_SilentChannel(layout), model, output, 0)
        assert host.load(_round_tripped(begin, events.Begin))
        for step in range(_ROUNDS):
            host.handle(_round_tripped(_events(step), events.Handle))
    gc.collect()


def _events(step: int) -> events.Handle:
    sent: tuple[events.SentEvent, ...] = (
        events.SentPrefilled(3, (1, 2)),
        events.SentForwardPass(
            step, ByteTokenizer.vocab_size, None, has_row=False, place=None, prompt_logprobs=None
        ),
        events.SentSampled(step, 65, None, None),
        events.SentAdded(step, (65,), forced=False, place=None),
    )
    return events.Handle(step, tuple(events.SentAsk(0, each) for each in sent))


def _round_tripped(message: M, kind: type[M]) -> M:
    decoded = events.DECODER.decode(events.ENCODER.encode(message))
    assert isinstance(decoded, kind)
    return decoded

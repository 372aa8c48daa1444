"""Mods in workers give the results of mods in this process."""

import time
from typing import NamedTuple

import msgspec
import pytest
from concordance_inference.engine.request.instances import make_instances
from concordance_inference.generation import Completed, Failed, SamplingParams
from concordance_inference.mods.loading import load_payload
from concordance_inference.sandbox.isolated_mod import IsolatedMod
from concordance_inference.sandbox.supervisor import LeaseRequest
from concordance_sdk import ModPayload
from concordance_sdk.request_context import RequestContext
from sandboxes import limited, source_of
from tiny import TRAITS, ask, call, finish, make_engine, run, submit

MODS = {
    "forces": """
        from concordance_sdk import Added, mod

        @mod(on=[Added])
        def tested(event, actions, tokenizer):
            if event.step == 2:
                return actions.force_tokens(tokenizer.encode("forced"))
        """,
    "backtracks": """
        from concordance_sdk import mod

        @mod(max_backtrack=4)
        class tested:
            def added(self, event, actions):
                if event.step % 5 == 3:
                    return actions.backtrack(2, [65, 66, 67])
        """,
    "replaces what was sampled": """
        from concordance_sdk import Sampled, mod

        @mod(on=[Sampled])
        def tested(event, actions):
            if event.sampled_token % 3 == 0:
                return actions.force_tokens([event.sampled_token // 3])
        """,
    "adjusts logits": """
        from concordance_sdk import ForwardPass, mod

        @mod(on=[ForwardPass])
        def tested(event, actions):
            if event.step % 2:
                top = event.logits.top_k(3)
                return actions.adjust_logits(ban=[top[0][0]], token_temp=0.5)
        """,
    "reads all that there is": """
        from concordance_sdk import mod

        @mod
        class tested:
            def forward_pass(self, event, actions):
                logits = event.logits
                row = logits.to_numpy()
                return actions.report(
                    entropy=round(logits.entropy(), 2), margin=round(logits.margin(), 2),
                    most=int(row.argmax()), n=len(logits), some=round(logits.logprob(65), 2),
                    pair=[round(each, 2) for each in logits.logprobs([1, 2])],
                )

            def sampled(self, event, actions):
                return actions.report(logprob=round(event.logprob, 2))
        """,
    "keeps logits, and reads them later": """
        from concordance_sdk import mod

        @mod
        class tested:
            def forward_pass(self, event, actions):
                self.kept = event.logits

            def added(self, event, actions):
                kept = self.kept
                return actions.report(
                    top=[each[0] for each in kept.top_k(3)], margin=round(kept.margin(), 2),
                    logprob=round(kept.logprob(event.added_tokens[-1]), 2),
                    entropy=round(kept.entropy(), 2),
                )
        """,
    "generates with log-probabilities": """
        from concordance_sdk import mod

        @mod
        def tested(run):
            text = yield run.generate(logprobs=True, max_tokens=5)
            yield run.report(logprobs=[round(each, 2) for each in text.logprobs])
        """,
    "replaces logits": """
        from concordance_sdk import ForwardPass, mod
        import numpy as np

        @mod(on=[ForwardPass], logits="full")
        def tested(event, actions):
            row = event.logits.to_numpy().copy()
            row[::2] = -np.inf
            return actions.adjust_logits(logits=row)
        """,
    "keeps state, and replaces the prompt": """
        from concordance_sdk import mod

        @mod
        class tested:
            def prefilled(self, event, actions):
                self.seen = 0
                return actions.adjust_prefill([*event.context_info.tokens, 65], max_steps=9)

            def added(self, event, actions):
                self.seen += len(event.added_tokens)
                return actions.report(seen=self.seen)

            def finished(self, event, actions):
                return actions.report(end=str(event.finish_reason), seen=self.seen)
        """,
    "asks the model a question": """
        from concordance_sdk import mod
        from concordance_sdk.constraints import ChoicesStrat
        from concordance_sdk.self_prompt import EraseMode, SelfPrompt

        SAFE = SelfPrompt(
            prompt=" Safe? ", constraint=ChoicesStrat(["yes", "no"]), erase=EraseMode.ALL
        )

        @mod
        class tested:
            def parts(self):
                return [SAFE]

            def finished(self, event, actions):
                return actions.report(answer=SAFE.answer(event.request_id))
        """,
    "contains others": """
        from concordance_sdk import Added, mod

        @mod(on=[Added], registered=False)
        def inner(event, actions):
            if event.step == 4:
                return actions.force_tokens([97, 98])

        @mod
        class tested:
            def mods(self):
                return [inner]

            def added(self, event, actions):
                if event.step == 1:
                    return actions.force_tokens([99])
        """,
    "fails": """
        from concordance_sdk import mod

        @mod
        class tested:
            def added(self, event, actions):
                if event.step == 3:
                    raise ValueError("no more")

            def finished(self, event, actions):
                return actions.report(finished=True)
        """,
    "returns a wrong action": """
        from concordance_sdk import Added, mod

        @mod(on=[Added])
        def tested(event, actions):
            if event.step == 3:
                return actions.force_tokens([99999])
        """,
    "ends with an error": """
        from concordance_sdk import Added, mod

        @mod(on=[Added])
        def tested(event, actions):
            if event.step == 2:
                return actions.emit_error("not this")
        """,
}


class Outcome(NamedTuple):
    """What a client and the counters see of a request."""

    end: str
    token_ids: tuple
    text: str
    reports: list
    error: tuple
    usage: list


def outcome_of(answers):
    end = answers.end
    reports = [r for u in answers.updates for r in getattr(u, "reports", ())]
    if not isinstance(end, Completed):
        error = end.error
        seen = (error.code, error.mod, error.event, error.step, str(error.message))
        return Outcome("failed", (), answers.shown, [str(r) for r in reports], seen, [])
    usage = [(each.mod, each.forced_tokens, each.calls) for each in end.mods]
    return Outcome(
        str(end.finish_reason),
        tuple(end.token_ids),
        end.text,
        [str(r) for r in reports],
        (),
        usage,
    )


def in_process(text, **fields):
    source = source_of(text)
    payload = ModPayload(
        name="tested", source=source.files, module=source.module, entrypoint=source.entrypoint
    )
    definition, _ = load_payload(payload)
    return ask("Hello there", call(definition), **fields)


def isolated(sandbox, text, **fields):
    request = ask("Hello there", **fields)
    context = RequestContext(request.conversation, request_id=request.request_id)
    asked = LeaseRequest(source=source_of(text), request_id=request.request_id)
    return msgspec.structs.replace(request, instances=(IsolatedMod(sandbox.lease(asked), context),))


@pytest.fixture(name="impatient")
def _impatient():
    """A sandbox whose mods have a second for each event."""
    with limited(event_s=1.0) as supervisor:
        yield supervisor


SAMPLED = SamplingParams(temperature=1.0, seed=7)


@pytest.mark.parametrize("name", MODS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_mod_in_a_worker_gives_the_results_of_one_in_this_process(sandbox, name, stream):
    fields = {"max_tokens": 14, "sampling": SAMPLED, "stream": stream}
    expected = outcome_of(run(make_engine(), in_process(MODS[name], **fields)))

    assert outcome_of(run(make_engine(), isolated(sandbox, MODS[name], **fields))) == expected


def test_mods_in_workers_give_the_same_results_in_a_batch(sandbox):
    fields = {"max_tokens": 14, "sampling": SAMPLED}
    alone = [outcome_of(run(make_engine(), in_process(MODS[name], **fields))) for name in MODS]
    engine = make_engine(max_rows=16)
    answers = [submit(engine, isolated(sandbox, MODS[name], **fields)) for name in MODS]
    plain = submit(engine, ask("Other", **fields))

    finish(engine)

    assert [outcome_of(each) for each in answers] == alone
    assert plain.ids == run(make_engine(), ask("Other", **fields)).ids


def test_a_mod_that_sleeps_ends_its_request_alone_and_keeps_no_other_waiting(impatient):
    sleeps = """
        import time
        from concordance_sdk import Added, mod

        @mod(on=[Added])
        def tested(event, actions):
            time.sleep(60 if event.step == 2 else 0)
        """
    engine = make_engine()
    answers = submit(engine, isolated(impatient, sleeps, max_tokens=8))
    plain = submit(engine, ask("Other", max_tokens=40, sampling=SAMPLED))

    steps_before_its_end = 0
    while not (answers.updates and isinstance(answers.end, Failed)):
        engine.step()
        steps_before_its_end += 1
    finish(engine)

    assert answers.error.code == "mod_timeout"
    assert steps_before_its_end > 10
    assert plain.ids == run(make_engine(), ask("Other", max_tokens=40, sampling=SAMPLED)).ids


def test_workers_are_gone_after_their_requests(sandbox):
    run(make_engine(), isolated(sandbox, MODS["forces"], max_tokens=4))

    deadline = time.monotonic() + 60
    while sandbox.status.num_leased and time.monotonic() < deadline:
        time.sleep(0.01)
    assert sandbox.status.num_leased == 0


def test_make_instances_is_for_mods_of_this_process():
    (instance,) = make_instances(in_process(MODS["forces"]), TRAITS)
    assert not instance.may_park

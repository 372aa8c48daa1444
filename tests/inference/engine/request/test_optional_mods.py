"""Mods that a request does not require."""

import msgspec
import pytest
from concordance_inference.engine.request.instances import make_instances_within
from concordance_inference.generation import Completed, Failed, ModFailure
from concordance_inference.usage_sums import summed
from concordance_sdk import Added, ForwardPass, Prefilled, Sampled, mod
from concordance_shared import AdjustedLogits, InvalidRequestError
from tiny import TRAITS, ask, call, finish, make_engine, run, submit


def optional(definition):
    return msgspec.structs.replace(call(definition), required=False)


def fails_at(event_type, returned):
    @mod(name="fails", on=[event_type])
    def fails(event, actions):
        if event.step < 3 and event_type is not Prefilled:
            return None
        if isinstance(returned, Exception):
            raise returned
        return returned(actions)

    return fails


FAILURES = {
    "raises at Prefilled": (Prefilled, ValueError("kaput"), "mod_raised"),
    "raises at ForwardPass": (ForwardPass, ValueError("kaput"), "mod_raised"),
    "raises at Sampled": (Sampled, ValueError("kaput"), "mod_raised"),
    "raises at Added": (Added, ValueError("kaput"), "mod_raised"),
    "returns text": (Added, lambda _: "text", "mod_invalid_action"),
    "an id out of range": (Sampled, lambda a: a.force_tokens([99999]), "mod_invalid_action"),
    "backtracks too far": (Added, lambda a: a.backtrack(100), "mod_invalid_action"),
    "backtracks too far, at Sampled": (Sampled, lambda a: a.backtrack(99), "mod_invalid_action"),
    "backtracks too far, at logits": (ForwardPass, lambda a: a.backtrack(9), "mod_invalid_action"),
    "logits that are none": (
        ForwardPass,
        lambda _: AdjustedLogits(logits=[1.0, 2.0]),
        "mod_invalid_action",
    ),
    "a prompt too long": (
        Prefilled,
        lambda a: a.adjust_prefill([65] * 5000),
        "mod_invalid_action",
    ),
}


@mod(name="other")
class Other:
    def forward_pass(self, event, actions):
        return actions.adjust_logits(ban=[event.logits.top_k(1)[0][0]])

    def added(self, event, actions):
        if event.step == 5:
            return actions.force_tokens([65, 66])
        return None


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("is_first", [False, True], ids=["last", "first"])
def test_a_mod_that_is_not_required_is_dropped_and_the_request_continues_without_it(
    name, stream, is_first
):
    event_type, returned, code = FAILURES[name]
    mods = [call(Other), optional(fails_at(event_type, returned))]
    fields = {"max_tokens": 12, "stream": stream}
    answers = run(make_engine(), ask("Hello", *(reversed(mods) if is_first else mods), **fields))

    assert answers.ids == run(make_engine(), ask("Hello", Other, **fields)).ids
    usage = {each.mod: each for each in answers.end.mods}
    assert usage["fails"].failed.code == code
    assert usage["fails"].failed.message
    assert usage["other"].failed is msgspec.UNSET


@pytest.mark.parametrize("name", FAILURES)
def test_a_mod_that_is_required_ends_the_request(name):
    event_type, returned, code = FAILURES[name]
    answers = run(make_engine(), ask("Hello", fails_at(event_type, returned)))

    assert answers.error.code == code


def test_a_dropped_mod_is_called_for_finished_only():
    seen = []

    @mod
    class Watcher:
        def added(self, event, actions):
            seen.append(type(event).__name__)
            if event.step == 2:
                raise ValueError

        def forward_pass(self, event, actions):
            seen.append(type(event).__name__)

        def finished(self, event, actions):
            seen.append(type(event).__name__)

    run(make_engine(), ask("Hello", optional(Watcher), max_tokens=10))

    assert seen[-2:] == ["Added", "Finished"]
    assert seen.count("Added") == 3


def test_a_mod_that_cannot_be_made_is_dropped_before_the_request():
    @mod(name="broken")
    class Broken:
        def __init__(self):
            raise ValueError("kaput")

        def added(self, event, actions): ...

    request = ask("Hello", optional(Broken), Other)
    request = msgspec.structs.replace(request, instances=make_instances_within(5, request, TRAITS))
    answers = run(make_engine(), request)

    assert answers.ids == run(make_engine(), ask("Hello", Other)).ids
    assert {each.mod: each.failed for each in answers.end.mods}["broken"].code == "mod_raised"


def test_a_mod_that_rejects_the_request_ends_it_also_if_it_is_not_required():
    @mod(name="picky")
    class Picky:
        def prepare(self, tokenizer):
            raise InvalidRequestError("no", param="params")

        def added(self, event, actions): ...

    with pytest.raises(InvalidRequestError):
        make_instances_within(5, ask("Hello", optional(Picky)), TRAITS)


def test_an_error_that_a_mod_emits_ends_the_request_also_if_it_is_not_required():
    emits = fails_at(Added, lambda actions: actions.emit_error("not this"))
    answers = run(make_engine(), ask("Hello", optional(emits)))

    assert answers.error.code == "mod_emitted_error"


def test_dropped_mods_leave_other_requests_of_the_batch_as_they_are():
    engine = make_engine()
    fails = fails_at(Added, ValueError("kaput"))
    answers = submit(engine, ask("Hello", optional(fails)))
    failed = submit(engine, ask("Hello", fails))
    plain = submit(engine, ask("Other"))
    finish(engine)

    assert isinstance(answers.end, Completed)
    assert isinstance(failed.end, Failed)
    assert plain.ids == run(make_engine(), ask("Other")).ids


def test_failures_of_several_completions_are_one():
    failure = ModFailure("mod_raised", "kaput")
    ends = [run(make_engine(), ask("Hello", optional(fails_at(Added, ValueError())))).end] * 2
    (usage,) = summed(usage for end in ends for usage in end.mods)

    assert usage.failed.code == failure.code
    assert b"failed" not in msgspec.json.encode(run(make_engine(), ask("Hello", Other)).end.mods)

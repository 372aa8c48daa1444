"""The store of completions that can be resumed: ids, expiry, limits."""

from types import SimpleNamespace

import pytest
from concordance_inference.caller import Caller, calling
from concordance_inference.resume.ended import (
    EndedCompletion,
    EndedCompletions,
    UnknownCompletionError,
)
from concordance_shared import FinishReason, InvalidRequestError


def ended(name, *, num_tokens=3, reason=FinishReason.LENGTH, owner="", **fields):
    return EndedCompletion(
        request=SimpleNamespace(request_id=name, is_candidate=False, owner=owner),
        token_ids=[0] * num_tokens,
        prompt_len=1,
        forced_by=[None] * (num_tokens - 1),
        num_sampled=num_tokens - 1,
        seed=0,
        finish_reason=reason,
        **fields,
    )


@pytest.mark.parametrize("prefix", ["", "chatcmpl-", "cmpl-", "resp_", "msg_"])
def test_a_completion_is_found_by_the_id_of_its_response(prefix):
    store = EndedCompletions(10)
    store.keep("m", one := ended("abc"))

    assert store.find("m", f"{prefix}abc") is one


def test_a_completion_expires():
    now = [0.0]
    store = EndedCompletions(10, now=lambda: now[0])
    store.keep("m", ended("abc"))
    now[0] = 9.9
    store.find("m", "abc")
    now[0] = 10.1

    with pytest.raises(UnknownCompletionError) as caught:
        store.find("m", "abc")
    assert (caught.value.status_code, caught.value.param) == (404, "resume_from")
    assert not len(store)


def test_nothing_is_kept_for_no_time():
    store = EndedCompletions(0)
    store.keep("m", ended("abc"))

    assert not len(store)


@pytest.mark.parametrize("limits", [{"max_completions": 2}, {"max_tokens": 7}])
def test_the_oldest_completion_is_dropped_beyond_the_limits(limits):
    store = EndedCompletions(10, **limits)
    for name in ("a", "b", "c"):
        store.keep("m", ended(name))

    with pytest.raises(UnknownCompletionError):
        store.find("m", "a")
    assert store.find("m", "c")


def test_a_completion_of_another_model_is_refused_with_its_name():
    store = EndedCompletions(10)
    store.keep("one", ended("a"))

    with pytest.raises(InvalidRequestError, match="'one'"):
        store.find("two", "a")


@pytest.mark.parametrize("reason", ["stop", "tool_calls", "error"])
def test_a_completion_that_the_model_ended_is_refused_with_the_reason(reason):
    store = EndedCompletions(10)
    store.keep("m", ended("a", reason=FinishReason(reason)))

    with pytest.raises(InvalidRequestError, match=f"ended by '{reason}'"):
        store.find("m", "a")


def test_a_completion_that_a_command_ended_can_continue():
    store = EndedCompletions(10)
    store.keep("m", ended("a", reason=FinishReason.STOP, is_ended_by_hand=True))

    assert store.find("m", "a")


def test_a_call_of_a_hosted_tool_can_be_continued_once_it_is_reopened():
    kept = EndedCompletions(60)
    calling = ended("a", reason=FinishReason.STOP)
    kept.keep("m", calling)

    with pytest.raises(InvalidRequestError, match="ended by 'stop'"):
        kept.find("m", "a")
    kept.reopen("a")
    kept.reopen("unknown")
    assert kept.find("m", "a").is_at_call


def test_a_completion_is_found_by_its_owner_alone_also_where_others_see_all():
    """A request that continues it would find the owner's cached prefixes."""
    store = EndedCompletions(10)
    store.keep("m", one := ended("a", owner="ann"))

    with calling(Caller(owner="ann", sees_all=False)):
        assert store.find("m", "a") is one
    for sees_all in (False, True):
        with calling(Caller(owner="bob", sees_all=sees_all)):
            assert store.of_request("a") is None
            with pytest.raises(UnknownCompletionError):
                store.find("m", "a")
            with pytest.raises(UnknownCompletionError):
                store.find("other", "a")

"""Who the present request is for."""

from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest
from concordance_inference.caller import (
    Caller,
    calling,
    current_caller,
    current_owner,
    current_prefix_space,
    may_see,
    owned_ids,
    set_caller,
)

ALICE = Caller(owner="alice", sees_all=False, prefix_space="alice's")


def test_without_a_request_the_caller_is_the_process_which_sees_everything():
    assert (current_owner(), current_prefix_space()) == ("", "")
    assert may_see("anyone")


def test_a_caller_sees_its_own_and_one_that_sees_all_what_others_own():
    with calling(ALICE):
        assert (may_see("alice"), may_see("bob"), may_see("")) == (True, False, False)
    with calling(Caller(owner="root", sees_all=True)):
        assert may_see("bob")


def test_the_caller_is_restored_after_the_block_also_by_an_error():
    before = current_caller()

    def fail():
        with calling(ALICE), calling(Caller(owner="bob")):
            assert current_owner() == "bob"
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert current_caller() is before


def test_an_id_that_a_client_has_chosen_ends_with_its_owner():
    assert owned_ids("r1") == ("r1",)
    with calling(ALICE):
        assert owned_ids("r1") == ("r1", "r1@alice")


def test_requests_in_other_contexts_have_callers_of_their_own():
    def owner_after(caller):
        set_caller(caller)
        return current_owner()

    callers = [Caller(owner=str(i)) for i in range(20)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda each: copy_context().run(owner_after, each), callers))

    assert found == [str(i) for i in range(20)]
    assert current_owner() == ""

from concordance_inference.sandbox.outcomes import Answered, LeaseFailed, Ready
from concordance_inference.sandbox.waiting import wait_for
from concordance_shared import Added, ForceTokens, Report
from sandboxes import added, handler, leased, outcome_of, sampled, source_of


def test_a_mod_in_a_worker_answers_an_event_with_its_action(sandbox):
    source = handler("return actions.force_tokens(tokenizer.encode('hi'))")
    outcome = outcome_of(sandbox, source)
    assert isinstance(outcome, Answered)
    assert [each.action for each in outcome.results] == [ForceTokens((104, 105))]


def test_a_worker_says_which_events_its_mod_handles(sandbox):
    lease, ready = leased(sandbox, handler("return None"))
    lease.kill()
    assert isinstance(ready, Ready)
    (instance,) = ready.info.instances
    assert (instance.name, instance.events, instance.logits) == ("tested", {Added}, None)
    assert ready.info.max_backtrack == 32


def test_events_of_one_message_are_handled_up_to_the_first_action(sandbox):
    source = source_of(
        """
        from concordance_sdk import mod

        @mod
        class tested:
            def sampled(self, event, actions):
                return actions.report(at=event.step)

            def added(self, event, actions):
                if event.step == 1:
                    return [actions.report(last=True), actions.stop()]
        """
    )
    lease, _ = leased(sandbox, source)
    lease.send([sampled(0, 7), added(0, b"a"), sampled(1, 8), added(1, b"b"), sampled(2, 9)])
    outcome = wait_for(lease)
    lease.kill()
    assert isinstance(outcome, Answered)
    assert [each.reports for each in outcome.results] == [
        (Report({"at": 0}),),
        (),
        (Report({"at": 1}),),
        (Report({"last": True}),),
    ]
    assert [each.action is None for each in outcome.results] == [True, True, True, False]


def test_a_handler_that_raises_fails_with_the_mods_own_frames(sandbox):
    outcome = outcome_of(sandbox, handler("raise ValueError('no')"), added(4, b"a"))
    assert isinstance(outcome, LeaseFailed)
    error = outcome.error
    assert (error.code, error.mod, error.event, error.step) == ("mod_raised", "tested", "Added", 4)
    assert outcome.traceback.endswith("ValueError: no")
    assert outcome.traceback.count("File") == 1
    assert 'File "<mod tested>/m.py", line 4, in tested' in outcome.traceback


def test_printed_lines_are_sent_with_the_reply(sandbox):
    lease, _ = leased(sandbox, handler("print('seen', event.added_tokens)"))
    lease.send([added(0, b"a")])
    wait_for(lease)
    lease.kill()
    assert lease.take_logs() == ["seen (97,)\n"]

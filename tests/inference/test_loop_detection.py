"""What requests ask of loop detection."""

import pytest
from concordance_inference.llm_options import checked_options
from concordance_inference.loop_detection import FoundLoop, LoopDetection, chosen, ends_in_loop
from concordance_shared import InvalidRequestError

FULL = LoopDetection(mode="full", action="rewind")


def test_request_that_does_not_choose_gets_what_the_server_has():
    assert chosen(None) == LoopDetection(mode="cheap", action="end")
    assert chosen(None, FULL) == FULL


def test_choice_of_a_request_precedes_that_of_the_server():
    assert chosen("full", LoopDetection(mode="off")) == LoopDetection(mode="full")
    assert chosen("off", FULL).mode == "off"
    assert chosen(LoopDetection(action="rewind"), FULL).mode == "cheap"


def test_ignore_eos_switches_loop_detection_off_unless_the_request_chooses():
    assert chosen(None, FULL, ignores_eos=True).mode == "off"
    assert chosen("cheap", ignores_eos=True).mode == "cheap"


def test_only_a_loop_that_ended_the_completion_is_its_end():
    loops = [
        FoundLoop(begin=0, period=1, repeats=97, outcome=outcome)
        for outcome in ("rewound", "ended")
    ]
    assert not ends_in_loop(loops[:1])
    assert ends_in_loop(loops)


def test_python_api_takes_a_mode_or_all_of_it():
    assert checked_options({"loop_detection": "full"}).loop_detection == "full"
    given = {"mode": "full", "action": "rewind", "max_tries": 2}
    assert checked_options({"loop_detection": given}).loop_detection == LoopDetection(**given)
    assert checked_options({"loop_detection": FULL}).loop_detection == FULL


@pytest.mark.parametrize("wrong", ["most", {"mode": "most"}, {"max_tries": 17}, {"tries": 1}, 1])
def test_python_api_refuses_other_values(wrong):
    with pytest.raises(InvalidRequestError, match="loop_detection"):
        checked_options({"loop_detection": wrong})

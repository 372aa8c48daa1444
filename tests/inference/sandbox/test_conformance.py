"""Mods in workers pass the checks of the SDK that they pass in this process."""

import runpy
from pathlib import Path
from unittest import mock

import pytest
from concordance_inference.sandbox.isolated_mod import IsolatedMod
from concordance_inference.sandbox.protocol.events import ModSource
from concordance_inference.sandbox.requests import LeaseRequest
from concordance_sdk import builtin, use
from concordance_sdk.testing import check_conformance, conformance, playing
from sandboxes import SANDBOX

MODS = {
    "Avoid": {"words": ["one", "far"]},
    "BiasWords": {"words": ["yes"], "strength": 4.0},
    "Greeting": {},
    "InjectAfterReasoning": {"text": " Wait.", "where": "inside"},
    "InjectAfterSentences": {"text": " Hm."},
    "InjectAfterTokens": {"text": "!", "count": 3},
    "InjectAtStart": {"text": "Hi. "},
    "ReasoningBudget": {"max_tokens": 2},
    "Replace": {"find": "one", "replacement": "twenty"},
    "StopAfterSentences": {"count": 2},
    "StopAt": {"phrases": ["km", "```"]},
    "Says": {"script": "It is one."},
}
SAYS = Path(__file__).parents[2] / "scripted_mods" / "says.py"


def target_of(name):
    """A mod, and its source as an upload."""
    if name == "Says":
        text = SAYS.read_text()
        mod = runpy.run_path(str(SAYS))[name]
    else:
        text = f"from concordance_sdk.builtin import {name}\n"
        mod = getattr(builtin, name)
    return mod, ModSource(name="tested", files={"m.py": text}, module="m", entrypoint=name)


class InWorkers:
    """Makes the tested mod in a worker, and all others in this process."""

    def __init__(self, target, source):
        self.target, self.source, self.made = target, source, []
        self._make = playing._made

    def __call__(self, used, tokenizer, request):
        if getattr(used, "definition", None) is not self.target.definition:
            return self._make(used, tokenizer, request)
        asked = LeaseRequest(
            source=self.source,
            parameters=dict(used.parameters),
            request_id=request.request_id,
            conversation=request.conversation,
        )
        mod = IsolatedMod(SANDBOX.lease(asked), request)
        self.made.append(mod)
        return mod

    def interleaved(self, playings):
        """Play scenes, and end their workers."""
        outcomes = self._interleaved(playings)
        while self.made:
            self.made.pop().close()
        return outcomes

    _interleaved = staticmethod(conformance._interleaved_outcomes)


def checked(target, source=None):
    """The report on a mod, in a worker if a source is given. Fewer scenes than usual."""
    with (
        mock.patch.object(conformance, "_TEXTS", conformance._TEXTS[1:3]),
        mock.patch.object(conformance, "_LONGEST_STEP", 3),
        mock.patch.object(conformance, "_LONGEST_PROMPT", 4),
    ):
        if source is None:
            return check_conformance(target)
        workers = InWorkers(target, source)
        with (
            mock.patch.object(playing, "_made", workers),
            mock.patch.object(conformance, "_interleaved_outcomes", workers.interleaved),
        ):
            return check_conformance(target)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODS)
def test_mod_passes_the_same_checks_in_a_worker(name):
    mod, source = target_of(name)
    target = use(mod, **MODS[name])
    expected = checked(target)
    assert [check.problem for check in expected.checks] == [None] * len(expected.checks)
    assert f"{checked(target, source)}" == f"{expected}"

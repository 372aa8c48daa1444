"""Mods played in a worker give the same results as mods played in process."""

import textwrap

import pytest
from concordance_inference.mods.loading import load_upload
from concordance_inference.mods.upload_payload import Upload
from concordance_inference.sandbox.circuit_breaker import CircuitBreaker
from concordance_inference.sandbox.isolated_mod import isolated
from concordance_inference.sandbox.requests import LeaseRequest
from concordance_inference.sandbox.sandboxed_mod import SandboxedMod
from concordance_sdk.composition import ModUse
from concordance_sdk.request_context import RequestContext
from concordance_sdk.testing.playing import Playing, Scene
from concordance_shared import Conversation, Message, ModError
from sandboxes import source_of

MODS = {
    "greets": """
        @mod
        def tested(event, actions, tokenizer):
            if isinstance(event, ForwardPass) and event.step == 0:
                return actions.force_tokens(tokenizer.encode("Hi, "))
    """,
    "reads logits without declaring them": """
        @mod(on=[ForwardPass])
        def tested(event, actions):
            best, other = event.logits.top_k(2)
            report = actions.report(
                best=best[0], margin=event.logits.margin(), p=event.logits.logprob(best[0]),
                h=event.logits.entropy(), n=len(event.logits), one=float(event.logits[3]),
                sum=float(event.logits.to_numpy()[:4].sum()),
            )
            if best[0] == ord("b"):
                return [report, actions.adjust_logits(ban=[best[0]])]
            return report
    """,
    "keeps logits": """
        @mod
        class tested:
            def __init__(self): self.kept = []
            def forward_pass(self, event, actions): self.kept.append(event.logits)
            def finished(self, event, actions):
                return actions.report(firsts=[float(each[104]) for each in self.kept])
    """,
    "declares everything": """
        @mod(logits="full")
        class tested:
            def forward_pass(self, event, actions):
                row = event.logits.to_numpy()
                row[:] = -row
                return actions.adjust_logits(row) if event.step % 2 else None
    """,
    "reads the logprob of samples": """
        @mod(on=[Sampled])
        def tested(event, actions):
            return actions.report(p=event.logprob)
    """,
    "backtracks": """
        @mod(max_backtrack=4)
        class tested:
            done = False
            def __init__(self): self.done = False
            def added(self, event, actions):
                if event.step == 3 and not self.done:
                    self.done = True
                    return actions.backtrack(2, b"XY")
    """.replace("            done = False\n", ""),
    "bans a phrase": """
        from concordance_sdk.text import PhraseBan
        @mod
        class tested:
            def parts(self): return [PhraseBan(["bcd"])]
    """,
    "constrains": """
        from concordance_sdk.constraints import Constrained, Regex
        @mod
        class tested:
            def parts(self): return [Constrained(Regex("[0-9]{4}"))]
    """,
    "asks itself": """
        from concordance_sdk.constraints import ChoicesStrat
        from concordance_sdk.self_prompt import SelfPrompt
        @mod
        class tested:
            def __init__(self):
                self.ask = SelfPrompt(
                    prompt=" Sure? ", constraint=ChoicesStrat(["yes", "no"]), erase="all"
                )
            def parts(self): return [self.ask]
    """,
    "is a script": """
        @mod
        def tested(run):
            yield run.force("One ")
            text = yield run.generate(max_tokens=3)
            yield run.force(" end")
    """,
    "contains mods": """
        @mod
        def inner(event, actions):
            if isinstance(event, Added) and event.step == 2:
                return [actions.report(by="inner"), actions.force_tokens(b"!")]
        @mod
        class tested:
            def mods(self): return [inner]
            def sampled(self, event, actions):
                if event.step == 1: return actions.report(by="outer")
    """,
    "answers the conversation": """
        @mod(on=[Prefilled])
        def tested(event, actions, tokenizer):
            return actions.force_output(tokenizer.encode(get_conversation()[-1].text.upper()))
    """,
    "raises": """
        @mod(on=[Added])
        def tested(event, actions):
            if event.step == 2: raise ValueError("no")
            return actions.report(step=event.step)
    """,
    "returns nonsense": """
        @mod(on=[Added])
        def tested(event, actions):
            if event.step == 1: return "nonsense"
    """,
    "emits an error": """
        @mod(on=[Sampled])
        def tested(event, actions):
            if event.step == 1: return actions.emit_error("enough")
    """,
    "acts where it may not": """
        @mod(on=[Finished])
        def tested(event, actions):
            return actions.force_tokens([1])
    """,
}


def played(mod):
    scene = Scene(
        script="abcdefghij",
        prompt="> ",
        max_tokens=16,
        conversation=Conversation(messages=(Message(role="user", content="hello"),)),
    )
    play = Playing([mod], scene)
    while not play.is_over:
        play.step()
    try:
        result = play.finish()
    except ModError as error:
        return (error.code, error.message, error.event, error.step, error.reports)
    return (result.text, result.token_ids, result.finish_reason, result.reports, result.changes)


@pytest.mark.parametrize("name", MODS)
def test_mod_in_a_worker_gives_the_result_of_a_mod_in_process(sandbox, name):
    source = source_of("from concordance_sdk import *\n" + textwrap.dedent(MODS[name]))
    upload = Upload(source.name, source.module, source.entrypoint, source.files)
    definition, _ = load_upload(upload)
    made = []

    def make(request):
        asked = LeaseRequest(
            source=source, request_id=request.request_id, conversation=request.conversation
        )
        made.append(isolated(SandboxedMod(source, sandbox), asked, request))
        return made[-1]

    found = played(make)
    for each in made:
        each.close()
    assert found == played(ModUse(definition, {}))


def test_a_mod_that_fails_to_load_five_times_is_disabled_for_its_caller(sandbox, monkeypatch):
    monkeypatch.setattr(sandbox, "breaker", CircuitBreaker())
    source = source_of("raise ValueError('kaput')", name="fails_often")
    mod = SandboxedMod(source, sandbox)

    def load(owner):
        request = LeaseRequest(source=source, request_id="r", owner=owner)
        with pytest.raises(ModError) as failed:
            isolated(mod, request, RequestContext(request_id="r"))
        return failed.value.code

    codes = [load("me") for _ in range(6)]

    assert codes == ["mod_load_failed"] * 5 + ["mod_disabled"]
    assert load("you") == "mod_load_failed"

import pytest
from concordance_sdk import mod
from concordance_sdk.constraints import ChoicesStrat, JsonSchema, Regex
from concordance_sdk.script import EndedBy, Rewound
from concordance_sdk.testing import play
from concordance_shared import ConstraintError, ModRaisedError

YES_NO = ChoicesStrat(["yes", "no"])


def asked(says, *, constraint=YES_NO, after="|", stream=False, max_tokens=256, **options):
    results = []

    @mod
    def script(run):
        yield run.generate(tokens=2)
        results.append((yield run.ask(" Q? ", constraint, **options)))
        yield run.force(after)

    return results, play(script, says=says, stream=stream, max_tokens=max_tokens)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("erase", "text"),
    [("all", "ab|cd"), ("prompt", "abyes|cd"), ("none", "ab Q? yes|cd")],
)
def test_question_and_answer_are_erased_as_asked_for(erase, text, stream):
    results, played = asked("abycd", erase=erase, stream=stream)
    assert (results[0], results[0].value, played.text) == ("yes", "yes", text)


def test_erasing_edit_and_the_text_of_the_next_step_are_one_action():
    _, played = asked("abycd")
    at = next(i for i, line in enumerate(played.log) if line.startswith("backtracked"))
    assert played.log[at : at + 2] == ("backtracked 7, to 2", "added 2 '|' (forced)")


def test_value_of_an_answer_is_parsed():
    schema = JsonSchema(
        {
            "type": "object",
            "properties": {"n": {"type": "integer"}},
            "required": ["n"],
            "additionalProperties": False,
        }
    )
    results, _ = asked("ab4}cd", constraint=schema)
    assert results[0].value == {"n": 4}


def test_logprobs_and_tokens_of_an_answer():
    results, _ = asked("ab17cd", constraint=Regex("[0-9]{2}"), logprobs=True)
    assert bytes(results[0].token_ids) == b"17"
    assert len(results[0].logprobs) == 2
    assert None not in results[0].logprobs


@pytest.mark.parametrize("erase", ["all", "prompt", "none"])
def test_question_without_room_for_an_answer_is_not_asked(erase):
    for max_tokens in range(3, 7):
        results, played = asked("abycd", max_tokens=max_tokens, erase=erase)
        assert (results, results[0].ended_by) == ([""], EndedBy.LENGTH)
        assert played.text == "ab|ycd"[:max_tokens]


@pytest.mark.parametrize(
    ("erase", "text"), [("all", "ab"), ("prompt", "abye"), ("none", "ab Q? ye")]
)
def test_answer_that_the_budget_cuts_has_what_was_written_of_it(erase, text):
    results, played = asked("abyescd", constraint=Regex("[a-z]{9}"), max_tokens=8, erase=erase)
    assert (results[0], results[0].ended_by) == ("ye", EndedBy.LENGTH)
    assert played.text.startswith(text)
    assert "Q" not in played.text or erase == "none"


def test_completion_that_had_ended_has_ended_if_there_is_no_room_for_a_question():
    verdicts = []

    @mod
    def script(run):
        yield run.generate()
        verdicts.append((yield run.ask(" Sure? ", YES_NO)))

    for max_tokens in range(4, 16):
        played = play(script, says="abc<eos>y", max_tokens=max_tokens)
        assert (played.text, played.finish_reason) == ("abc", "stop"), max_tokens
    assert {verdict.ended_by for verdict in verdicts} == {EndedBy.LENGTH, EndedBy.CONSTRAINT}


def test_question_waits_for_the_end_of_another_mods_question():
    from concordance_sdk.self_prompt import SelfPrompt

    @mod
    class Asks:
        def parts(self):
            return [SelfPrompt(prompt="First? ", constraint=YES_NO)]

    answers = []

    @mod
    def script(run):
        answers.append((yield run.ask(" Second? ", YES_NO, erase="none")))

    for mods in ([Asks, script], [script, Asks]):
        played = play(*mods, says="yn", max_tokens=40)
        assert played.text.count("?") == 2
    assert answers == ["no", "yes"]


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (lambda run: run.ask(3, YES_NO), "prompt of run.ask is text"),
        (lambda run: run.ask("Q", ["yes", "no"]), "ChoicesStrat"),
        (lambda run: run.ask("Q", YES_NO, erase="some"), "'none', 'prompt', 'all'"),
        (lambda run: run.ask("Q"), "constraint"),
    ],
)
def test_wrong_arguments_are_errors_that_name_them(wrong, expected):
    @mod
    def script(run):
        yield wrong(run)

    with pytest.raises(ModRaisedError, match=expected):
        play(script, says="")


@pytest.mark.parametrize("stream", [False, True])
def test_question_that_another_mod_removed_hides_no_later_text(stream):
    @mod
    def guarded(run):
        try:
            with run.guard():
                yield run.force("ab")
                with run.guard():
                    yield run.ask(" Q? ", YES_NO)
        except Rewound:
            yield run.force("again: ")
        yield run.generate()

    @mod(max_backtrack=None)
    class Cuts:
        def __init__(self):
            self.is_done = False

        def added(self, event, actions):
            if event.step == 6 and not self.is_done:
                self.is_done = True
                return actions.backtrack(7)

    played = play(Cuts, guarded, says="ycd efgh", max_tokens=13, stream=stream)
    assert (played.text, played.finish_reason) == ("again: cd efg", "length")


@pytest.mark.parametrize("stream", [False, True])
def test_question_whose_answer_another_mod_spoils_is_removed_if_the_script_catches_that(stream):
    @mod
    def careful(run):
        yield run.force("ab")
        try:
            yield run.ask(" Q? ", YES_NO)
        except ConstraintError:
            yield run.force("|")
        yield run.generate()

    @mod
    class Spoils:
        def forward_pass(self, event, actions):
            return actions.force_tokens(b"Z") if event.step == 6 else None

    assert play(Spoils, careful, says="cd", stream=stream).text == "ab|cd"


def test_answer_that_the_budget_cuts_has_the_logprobs_of_its_tokens():
    found = []

    @mod(registered=False)
    def cut(run):
        answer = ChoicesStrat(["long answer", "other"])
        found.append((yield run.ask("?", answer, erase="none", logprobs=True)))

    play(cut, says="long answer", max_tokens=5)
    assert (found[0], found[0].ended_by) == ("long", "length")
    assert len(found[0].logprobs) == 4

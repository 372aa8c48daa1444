"""What holds for every mod that is ready to use."""

import pytest
from concordance_sdk import builtin, mod, use
from concordance_sdk.host import definition_of, registry
from concordance_sdk.host.instance import InProcessMod
from concordance_sdk.registry import collecting
from concordance_sdk.testing import ByteTokenizer, play
from concordance_shared import InvalidRequestError

MODS = [getattr(builtin, name) for name in builtin.__all__]


@pytest.mark.parametrize("target", MODS, ids=builtin.__all__)
def test_importing_a_builtin_mod_does_not_register_it(target):
    assert definition_of(target).parameters is not None
    assert definition_of(target) not in list(registry)


def test_named_subclass_is_registered():
    with collecting() as collected:

        @mod(name="lyon")
        class Lyon(builtin.Replace):
            find: str = "Paris"
            replacement: str = "Lyon"

    assert [d.name for d in collected] == ["lyon"]
    assert play(Lyon, says="In Paris.").text == "In Lyon."


def test_builtin_mods_can_be_contained_in_another_mod():
    @mod
    class Mine:
        def mods(self):
            return [
                use(builtin.InjectAtStart, text="Well, "),
                use(builtin.Replace, find="no", replacement="yes"),
                use(builtin.StopAfterSentences),
            ]

    assert play(Mine, says="no. And more.").text == "Well, yes."


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("StopAfterSentences", {"count": 0}),
        ("InjectAfterSentences", {"text": "a", "count": 0}),
        ("InjectAfterTokens", {"text": "a", "count": -1}),
        ("ReasoningBudget", {"max_tokens": -1}),
        ("Replace", {"find": "", "replacement": "a"}),
        ("StopAt", {"phrases": []}),
        ("StopAt", {"phrases": ["a", ""]}),
        ("Avoid", {"words": []}),
        ("BiasWords", {"words": [""]}),
    ],
)
def test_invalid_parameter_is_rejected_with_the_request(name, parameters):
    wrong = list(parameters)[-1] if name != "Replace" else "find"
    with pytest.raises(InvalidRequestError, match=rf"at `\$\.{wrong}"):
        use(getattr(builtin, name), **parameters)


LONG = "x" * 40


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("used", "text"),
    [
        (use(builtin.StopAt, phrases=["b", LONG]), "a "),
        (use(builtin.StopAt, phrases=[LONG], whole_words=True), "a "),
        (use(builtin.StopAt, phrases=["é" * 40]), "a "),
        (use(builtin.Replace, find=LONG, replacement="y"), "a y"),
        (use(builtin.Replace, find=LONG, replacement="y", whole_words=True), "a y"),
    ],
)
def test_long_phrase_is_held_back_in_a_stream(used, text, stream):
    said = f"a {used.parameters.get('phrases', [LONG])[-1]}"

    assert play(used, says=said, stream=stream).text == text


@pytest.mark.parametrize("stream", [False, True])
def test_long_phrase_is_banned_in_a_stream(stream):
    assert LONG not in play(use(builtin.Avoid, words=[LONG]), says=f"a {LONG}!", stream=stream).text


def test_reasoning_with_a_long_tag_continues_in_a_stream():
    wait = use(builtin.InjectAfterReasoning, text="Hm. ", where="inside", close_tag=LONG)

    assert play(wait, says=f"<think>a {LONG}b", stream=True).text == "<think>a Hm. b"


def test_short_phrases_hold_back_the_default():
    used = use(builtin.StopAt, phrases=["###"])
    instance = InProcessMod(used.definition, used.parameters, tokenizer=ByteTokenizer())

    assert instance.max_backtrack == 32
    assert instance.instances == (instance,)

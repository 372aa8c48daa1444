import pytest
from concordance_inference.cli.chat.settings import (
    changeable,
    hyperparameters,
    shown_value,
    with_recorded,
    with_text,
)
from concordance_inference.cli.options import Chat
from concordance_shared import InvalidRequestError


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("temperature", "0.5", 0.5),
        ("max-tokens", "9", 9),
        ("markdown", "off", False),
        ("stats", "on", True),
        ("reasoning", "hide", "hide"),
        ("reasoning_effort", "low", "low"),
    ],
)
def test_text_becomes_a_value_of_the_type_of_the_option(name, text, value):
    changed = with_text(Chat(), name, text)

    assert getattr(changed, name.replace("-", "_")) == value


def test_default_restores_the_value_of_the_command():
    changed = with_text(with_text(Chat(), "temperature", "0.5"), "temperature", "default")

    assert changed == Chat()


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("temperatur", "1", ["'temperatur'", "did you mean 'temperature'?"]),
        ("zzz", "1", ["the settings are: max_tokens"]),
        ("temperature", "hot", ["/set temperature", "'hot'", "a number from 0 to 2"]),
        ("temperature", "3", ["from 0 to 2"]),
        ("reasoning", "some", ["one of 'show', 'hide'"]),
        ("markdown", "maybe", ["true or false"]),
        ("model", "x", ["there is no setting 'model'"]),
    ],
)
def test_wrong_setting_is_refused_with_what_would_be_right(name, text, words):
    with pytest.raises(InvalidRequestError) as refused:
        with_text(Chat(), name, text)

    for word in words:
        assert word in str(refused.value)


def test_recorded_hyperparameters_are_restored_and_others_have_defaults():
    options = Chat(temperature=0.7, top_p=0.5)
    recorded = hyperparameters(Chat(temperature=1.0, seed=4))

    restored = with_recorded(options, recorded, "file")

    assert (restored.temperature, restored.seed, restored.top_p) == (1.0, 4, None)


@pytest.mark.parametrize(
    ("values", "word"), [({"temprature": 1.0}, "'temperature'"), ({"temperature": 9.0}, "to 2")]
)
def test_wrong_recorded_hyperparameter_is_refused(values, word):
    with pytest.raises(InvalidRequestError, match=word):
        with_recorded(Chat(), values, "file.json")


def test_every_setting_is_explained_and_shown():
    for name, setting in changeable().items():
        assert setting.option.help
        assert shown_value(Chat(), name)

from datetime import datetime

import pytest
from concordance_inference.cli.chat.profiles import read_profiles
from concordance_inference.cli.options import Chat
from concordance_shared import InvalidRequestError

GOOD = """
profile = "careful"

[names]
user = "Ada"

[prompts.tutor]
system = "You teach {topic} to {user}. Today is {date}."
names = { topic = "Rust" }

[profiles.careful]
prompt = "tutor"
temperature = 0.2
mod = "avoid:words=blue"
mods = ["mine.py"]
"""


@pytest.fixture(name="file")
def _file(tmp_path):
    def write(text):
        (tmp_path / "chat.toml").write_text(text)
        return tmp_path / "chat.toml"

    return write


def test_profile_sets_options(file):
    path = file(GOOD)
    profiles = read_profiles(path)
    options = profiles.applied("careful", Chat())

    assert profiles.default == "careful"
    assert (options.prompt, options.temperature) == ("tutor", 0.2)
    assert options.mod == ["avoid:words=blue"]
    assert options.mods == [path.parent / "mine.py"]


def test_options_of_the_command_line_win_over_a_profile(file):
    options = read_profiles(file(GOOD)).applied("careful", Chat(temperature=1.0))

    assert (options.temperature, options.prompt) == (1.0, "tutor")


def test_model_of_a_profile_is_not_used_with_a_server(file):
    profiles = read_profiles(file('[profiles.p]\nmodel = "m"\n'))

    assert profiles.applied("p", Chat()).model == "m"
    assert profiles.applied("p", Chat(url="http://x")).model is None


def test_placeholders_of_a_prompt_are_its_own_and_those_of_the_file(file):
    prompt = read_profiles(file(GOOD)).prompt("tutor")

    assert prompt.text("m", datetime(2026, 11, 28)) == (
        "You teach Rust to Ada. Today is 2026-11-28."
    )


def test_wrong_placeholder_is_refused_with_its_line(file):
    prompt = read_profiles(file('[prompts.p]\nsystem = "{usr}"\n')).prompt("p")

    with pytest.raises(
        InvalidRequestError, match=r"chat.toml:2: `system` in \[prompts.p\].*'user'"
    ):
        prompt.text("m", datetime(2026, 11, 28))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("profil = 1", [":1: unknown key 'profil'", "did you mean 'profile'"]),
        (
            "[profiles.p]\ntemprature = 1.0",
            [":2: unknown key 'temprature' in [profiles.p]", "'temperature'"],
        ),
        ("[prompts.p]\nsytem = ''", ["'sytem' in [prompts.p]", "did you mean 'system'"]),
        ("[prompts.p]\n", ["[prompts.p] has no `system`"]),
        ("[prompts]\np = 'x'", [":2:", "[prompts.NAME]"]),
        ("prompts = 3", ["[prompts.NAME]"]),
        ("[names]\nuser = 3", [":2:", "[names]", "strings"]),
        ("[profiles.p]\ntemperature = 'x'", [":2: `temperature` in [profiles.p]", "a number"]),
        ("[profiles.p]\ntemperature = 3.0", ["from 0 to 2"]),
        (
            "[profiles.p]\nprompt = 'tutr'\n[prompts.tutor]\nsystem = ''",
            [":2:", "'tutr'", "'tutor'"],
        ),
        ("profile = 'p'", [":1: there is no profile 'p'"]),
        ("= 3", ["is not TOML"]),
    ],
)
def test_wrong_file_is_refused_with_its_line_and_the_right_name(file, text, words):
    with pytest.raises(InvalidRequestError) as refused:
        read_profiles(file(text))

    for word in ("chat.toml", *words):
        assert word in str(refused.value)


def test_unknown_profile_is_refused_with_the_nearest_name(file):
    profiles = read_profiles(file(GOOD))

    with pytest.raises(InvalidRequestError, match="--profile carefull: .*did you mean 'careful'"):
        profiles.applied("carefull", Chat())
    with pytest.raises(InvalidRequestError, match="--prompt x: .*the prompts are: tutor"):
        profiles.prompt("x")


def test_file_of_the_users_configuration_is_read(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert read_profiles(None).profiles == {}
    (tmp_path / "concordance").mkdir()
    (tmp_path / "concordance" / "chat.toml").write_text(GOOD)

    assert set(read_profiles(None).profiles) == {"careful"}


def test_named_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InvalidRequestError, match="--profiles names .*cannot be read"):
        read_profiles(tmp_path / "nowhere.toml")

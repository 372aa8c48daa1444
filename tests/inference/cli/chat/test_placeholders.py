from datetime import datetime

import pytest
from concordance_inference.cli.chat.placeholders import filled
from concordance_shared import InvalidRequestError

AT = datetime(2026, 11, 28, 14, 5)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{date} {time}", "2026-11-28 14:05"),
        ("{weekday}, {date:%d %B %Y}", "Saturday, 28 November 2026"),
        ("{year}/{month}, {datetime}", "2026/November, 2026-11-28 14:05"),
        ("{user} and {topic}", "Ada and Rust"),
        ('{{"a": 1}}', '{"a": 1}'),
        ("{assistant} {model}", "the assistant m"),
        ("no placeholder", "no placeholder"),
    ],
)
def test_placeholders_are_filled_in(template, text):
    assert filled(template, {"user": "Ada", "topic": "Rust", "model": "m"}, AT, "p") == text


def test_own_name_wins_over_a_built_in_one():
    assert filled("{date}", {"date": "today"}, AT, "p") == "today"


def test_user_is_the_login_name(monkeypatch):
    monkeypatch.setenv("LOGNAME", "lovelace")

    assert filled("{user}", {}, AT, "p") == "lovelace"


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{dat}", ["p: unknown placeholder {dat}", "did you mean 'date'?"]),
        ("{zzz}", ["the placeholders are:", "weekday"]),
        ("{", ["p:", "{{ and }}"]),
        ("{topic:%d}", ["{topic:%d}", "only those of dates"]),
        ("{}", ["unknown placeholder {}"]),
    ],
)
def test_wrong_placeholder_is_refused(template, words):
    with pytest.raises(InvalidRequestError) as refused:
        filled(template, {"topic": "Rust"}, AT, "p")

    for word in words:
        assert word in str(refused.value)

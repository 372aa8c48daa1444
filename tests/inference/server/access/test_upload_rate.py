"""Uploads of an owner of keys in a minute."""

import openai
import pytest
from concordance_inference.server.access.upload_rate import TooManyUploadsError, UploadRate
from concordance_inference.server.limits import Limits
from keyed import KeyedServer, upload


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def test_an_owner_may_upload_so_often_in_a_minute_and_again_after_it():
    clock = Clock()
    rate = UploadRate(clock)
    for _ in range(3):
        rate.count("ann", most=3)
        clock.now += 10
    with pytest.raises(TooManyUploadsError) as caught:
        rate.count("ann", most=3)

    assert caught.value.retry_after_s == 30
    rate.count("bob", most=3)
    clock.now += 30
    rate.count("ann", most=3)
    with pytest.raises(TooManyUploadsError):
        rate.count("ann", most=3)


def test_owners_without_recent_uploads_are_forgotten():
    clock = Clock()
    rate = UploadRate(clock)
    for i in range(100):
        rate.count(f"owner-{i}", most=1)
    clock.now += 61
    rate.count("ann", most=1)

    assert list(rate._times) == ["ann"]


def test_callers_without_keys_are_not_counted():
    rate = UploadRate()
    for _ in range(5):
        rate.count("", most=1)


def test_uploads_above_the_limit_get_429_and_those_of_others_do_not(tmp_path):
    server = KeyedServer(tmp_path / "keys.json", limits=Limits(uploads_per_minute=2))
    ann, bob = (server.of("admin", owner=owner) for owner in ("ann", "bob"))
    statuses = [ann.post("/v1/mods", json=upload()).status_code for _ in range(2)]
    refused = ann.post("/v1/mods", json=upload())
    played = ann.post("/v1/mods?dry_run=true", json={**upload(), "says": "hi"})

    assert statuses == [201, 201]
    assert refused.status_code == played.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert bob.post("/v1/mods", json=upload()).status_code == 201
    client = openai.OpenAI(base_url="http://127.0.0.1:8000/v1", api_key="x", http_client=ann)
    with pytest.raises(openai.RateLimitError):
        client.with_options(max_retries=0).post(
            "/mods",
            body=upload(),
            cast_to=object,
            options={"headers": {"Authorization": ann.headers["Authorization"]}},
        )

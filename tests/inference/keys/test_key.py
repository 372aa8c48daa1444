import re

import pytest
from concordance_inference.keys.key import digest_of, new_key, without_secrets


@pytest.mark.parametrize(
    ("role", "begin"),
    [("infer", "infer"), ("mods:write", "mods"), ("admin", "admin"), ("metrics", "metrics")],
)
def test_a_secret_names_its_role_and_has_256_random_bits(role, begin):
    (key, secret), (_, other) = new_key(role), new_key(role)

    assert re.fullmatch(rf"ck_{begin}_[A-Za-z0-9_-]{{43}}", secret)
    assert secret != other
    assert key.digest == digest_of(secret)


def test_what_is_kept_of_a_key_has_nothing_of_its_secret():
    key, secret = new_key("infer", label="ci")

    assert secret[9:] not in repr(key)
    assert secret[9:17] not in repr(key)


def test_a_key_owns_alone_unless_it_has_an_owner():
    alone, _ = new_key("infer")
    shared, _ = new_key("infer", owner="team")

    assert (alone.owner, shared.owner) == (alone.id, "team")


def test_a_key_expires_after_its_days():
    assert not new_key("infer", days=1)[0].is_expired
    assert new_key("infer", days=-1)[0].is_expired
    assert not new_key("infer")[0].is_expired


def test_only_the_admin_may_administrate():
    scopes = {role: new_key(role)[0].scopes for role in ("infer", "mods:write", "metrics", "admin")}

    assert [role for role in scopes if "admin" in scopes[role]] == ["admin"]
    assert [role for role in scopes if "mods:write" in scopes[role]] == ["mods:write", "admin"]
    assert scopes["metrics"] == {"metrics"}


def test_secrets_in_a_text_are_replaced():
    secret = new_key("mods:write")[1]

    assert without_secrets(f"a {secret} b") == "a ck_... b"

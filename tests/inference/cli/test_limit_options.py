"""The limits of `serve`, from its options."""

from concordance_inference.cli.options import Serve
from concordance_inference.server.limits import Limits


def test_the_defaults_of_the_options_are_those_of_the_limits():
    assert Serve().limits == Limits()


def test_each_option_sets_a_limit():
    limits = Serve(
        header_kib=1,
        body_mib=0.5,
        upload_mib=2,
        client_buffer_kib=3,
        max_rows=4,
        max_waiting=5,
        max_waiting_per_key=6,
    ).limits

    assert (limits.head_bytes, limits.body_bytes, limits.mod_body_bytes) == (1024, 2**19, 2**21)
    assert (limits.client_buffer_bytes, limits.rows, limits.waiting) == (3072, 4, 5)
    assert limits.waiting_per_owner == 6

import pytest
from concordance_inference.sandbox.outcomes import Ready
from concordance_inference.sandbox.sources import mod_source
from concordance_sdk import ModPayload
from concordance_shared import InvalidRequestError
from concordance_shared.errors import TooLargeError
from sandboxes import leased, mod_catalog

TEXT = "from concordance_sdk import *\n@mod(on=[Added])\ndef greet(event, actions): pass\n"


def test_version_of_an_upload_is_that_of_the_catalog():
    payload = ModPayload(name="greets-once", entrypoint="greet", source=TEXT)
    assert mod_source(payload).version == mod_catalog().upload(payload).version


def test_uploaded_files_are_loaded_by_a_worker(sandbox):
    files = {"a.py": TEXT + "import b\n", "b.py": "from concordance_sdk import mod\n"}
    payload = ModPayload(name="two", entrypoint="greet", module="a", files=files)
    lease, ready = leased(sandbox, mod_source(payload))
    lease.kill()
    assert isinstance(ready, Ready), ready
    assert ready.info.instances[0].name == "two"


def test_malformed_upload_is_refused_without_a_worker():
    with pytest.raises(InvalidRequestError):
        mod_source(ModPayload(name="x", entrypoint="greet", source="x = '\ud800'"))
    with pytest.raises(InvalidRequestError):
        mod_source(ModPayload(name="../x", entrypoint="greet", source=TEXT))
    with pytest.raises(TooLargeError, match="at most"):
        mod_source(ModPayload(name="x", entrypoint="greet", source="x" * (256 * 1024 + 1)))

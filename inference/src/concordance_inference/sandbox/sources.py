"""Uploads as sources for workers. Nothing here compiles or parses what was uploaded."""

import hashlib

from concordance_sdk import ModPayload
from concordance_shared import InvalidRequestError

from concordance_inference.mods.module_names import digest
from concordance_inference.mods.upload_payload import upload_of
from concordance_inference.sandbox.protocol.events import ModSource


def mod_source(payload: ModPayload) -> ModSource:
    """Return the source of an upload, with the version by which requests can select it.

    Raises:
        InvalidRequestError: The payload is malformed.
    """
    upload = upload_of(payload)
    try:
        content = f"{digest(upload.files)[:12]} {payload.module} {payload.entrypoint}".encode()
    except UnicodeEncodeError as exc:
        raise InvalidRequestError(
            f"the source of mod {upload.name!r} is not text that UTF-8 can encode: {exc}",
            param="source",
        ) from exc
    return ModSource(
        name=upload.name,
        files=upload.files,
        module=upload.module,
        entrypoint=upload.entrypoint,
        home=upload.home,
        version=hashlib.sha256(content).hexdigest()[:12],
    )

"""Reasoning as an opaque text, which clients that store nothing send back.

OpenAI encrypts it, since it shows no reasoning. This server shows all of it in `content` or
`summary`, so the text is only encoded.
"""

import base64
import binascii

_PREFIX = "concordance-1-"


def encoded_reasoning(text: str) -> str:
    """Encode reasoning for `encrypted_content`.

    Examples:
        >>> decoded_reasoning(encoded_reasoning("so be it"))
        'so be it'
    """
    return _PREFIX + base64.urlsafe_b64encode(text.encode()).decode()


def decoded_reasoning(encoded: str) -> str:
    """Return the reasoning in an `encrypted_content` of this server.

    Raises:
        ValueError: It is that of another server.
    """
    if not encoded.startswith(_PREFIX):
        raise ValueError("not the reasoning of this server")
    try:
        data = base64.b64decode(encoded.removeprefix(_PREFIX), altchars=b"-_", validate=True)
        return data.decode()
    except (binascii.Error, UnicodeDecodeError) as exc:
        raise ValueError("the reasoning is damaged") from exc

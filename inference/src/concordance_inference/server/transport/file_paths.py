"""Removes the paths of the server's files from messages for clients."""

import re

#: An absolute path with a folder in quotes, which may have spaces, or without; no address of a URL.
_PATHS = re.compile(
    r"""(?P<quote>['"])(?:/[^'"/]+)+/(?P<quoted>[^'"/]+)(?P=quote)"""
    r"""|(?<![\w:/.])(?:/[^\s/:;,'"()]+)+/(?P<plain>[^\s/:;,'"()]*)"""
)


def without_folders(text: str) -> str:
    """Return a text with the names of files in place of their paths.

    Examples:
        >>> without_folders("model 'a': there is no file /home/me/models/a/config.json")
        "model 'a': there is no file config.json"
        >>> without_folders("owner/name is not at https://hub.example/owner/name")
        'owner/name is not at https://hub.example/owner/name'
    """
    return _PATHS.sub(_name, text)


def _name(match: re.Match[str]) -> str:
    quote = match["quote"] or ""
    return f"{quote}{match['quoted'] or match['plain']}{quote}"

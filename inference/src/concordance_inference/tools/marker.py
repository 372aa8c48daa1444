"""Finds the marker that opens the calls of a message, the same way for readers and for mods."""


def find_marker(text: str, marker: str, *, at_start: bool, has_before: bool) -> int | None:
    """Return the position of the first marker in a text; `None` if there is none.

    Args:
        text: The content, or the rest of it.
        marker: The marker.
        at_start: It opens calls only at the start of the content, after space.
        has_before: Other text than space came before this text.

    Examples:
        >>> find_marker("a<call>", "<call>", at_start=False, has_before=False)
        1
        >>> find_marker("a<call>", "<call>", at_start=True, has_before=False)
    """
    found = text.find(marker)
    if found < 0 or (at_start and (has_before or text[:found].strip())):
        return None
    return found


def num_open(text: str, marker: str, *, at_start: bool, has_before: bool) -> int:
    """Return the length of the end of a text that may be the beginning of a marker.

    Examples:
        >>> num_open("a <ca", "<call>", at_start=False, has_before=False)
        3
    """
    if at_start and has_before:
        return 0
    longest = min(len(marker) - 1, len(text))
    length = next((n for n in range(longest, 0, -1) if text.endswith(marker[:n])), 0)
    return 0 if at_start and text[: len(text) - length].strip() else length

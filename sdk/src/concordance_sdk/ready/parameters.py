"""Types of the ready mods' parameters: what could not be acted upon is refused with the request."""

from typing import Annotated

from msgspec import Meta

#: How many of something, counted from 1.
Count = Annotated[int, Meta(ge=1)]

#: Something to look for: not nothing.
Phrase = Annotated[str, Meta(min_length=1)]

#: Several things to look for, at least one.
Phrases = Annotated[list[Phrase], Meta(min_length=1)]

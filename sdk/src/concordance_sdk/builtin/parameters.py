"""Parameter types of the built-in mods; a value out of range is rejected with the request."""

from typing import Annotated

from msgspec import Meta

#: How many of something, counted from 1.
Count = Annotated[int, Meta(ge=1)]

#: A text to write. It is tokenized where it is put, between two tokens of all requests.
Text = Annotated[str, Meta(max_length=8192)]

#: Something to look for: not nothing. It is looked for at each token.
Phrase = Annotated[str, Meta(min_length=1, max_length=512)]

#: Several things to look for, at least one.
Phrases = Annotated[list[Phrase], Meta(min_length=1, max_length=256)]

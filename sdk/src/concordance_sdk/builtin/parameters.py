"""Parameter types of the built-in mods; a value out of range is rejected with the request."""

from typing import Annotated

from msgspec import Meta

#: A count of at least 1.
Count = Annotated[int, Meta(ge=1)]

#: A text to force. It is tokenized between two tokens of all requests, hence the limit.
Text = Annotated[str, Meta(max_length=8192)]

#: A phrase to search for at each token.
Phrase = Annotated[str, Meta(min_length=1, max_length=512)]

#: At least one phrase.
Phrases = Annotated[list[Phrase], Meta(min_length=1, max_length=256)]

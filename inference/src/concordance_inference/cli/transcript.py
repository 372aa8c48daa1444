"""A completion as it is made, token by token, for the terminal."""

from rich.text import Text

from concordance_inference.generation import TokensDelta

_FORCED = "bold green"
_TAKEN_BACK = "red strike"


class Transcript:
    """What a completion is, and what it was before tokens were taken back.

    Sampled tokens are plain, forced ones green, and those taken back are struck out where they
    stood.
    """

    def __init__(self) -> None:
        """Begin empty."""
        self._pieces: list[tuple[str, str, bool]] = []  # text, style, still stands
        self.has_tokens = False

    def apply(self, delta: TokensDelta) -> None:
        """Take in a change of the completion."""
        self.has_tokens = True
        standing = [i for i, (_, _, stands) in enumerate(self._pieces) if stands]
        for i in standing[delta.kept :]:
            self._pieces[i] = (self._pieces[i][0], _TAKEN_BACK, False)
        for token in delta.tokens:
            self._pieces.append((token.text, _FORCED if token.forced else "", True))

    def text(self) -> Text:
        """The completion with its past."""
        text = Text()
        for piece, style, _ in self._pieces:
            text.append(piece, style)
        return text

"""What happened to the tokens of a completion, as lines: one for each edit, not for each token."""

from collections.abc import Iterable, Sequence

from concordance_inference.generation import Token, TokensDelta


class EditLog:
    """The edits of a completion, such as `backtracked 1, to 5, by lyon`.

    Sampled tokens that follow each other are one line: `sampled 0 'The capital of France is'`.
    """

    def __init__(self) -> None:
        """Make an empty log."""
        self._lines: list[str] = []
        self._sampled: list[Token] = []  # since the last edit
        self._length = 0  # of the completion

    @property
    def lines(self) -> list[str]:
        """The edits so far, in order."""
        return [*self._lines, *self._sampled_line()]

    def apply(self, delta: TokensDelta) -> None:
        """Add a change of the completion."""
        if delta.num_backtracked:
            self._flush()
            self._length -= delta.num_backtracked
            line = f"backtracked {delta.num_backtracked}, to {self._length}{_by(delta.mod)}"
            self._lines.append(line)
        num_repeated = self._length - delta.kept
        self._repeat(delta.tokens[:num_repeated])
        self._add(delta.tokens[num_repeated:])

    def _repeat(self, tokens: Sequence[Token]) -> None:
        """Update tokens at the end whose text has changed."""
        repeated = tokens[-len(self._sampled) :] if self._sampled else ()
        self._sampled[len(self._sampled) - len(repeated) :] = repeated

    def _add(self, tokens: Sequence[Token]) -> None:
        if tokens and tokens[0].forced:
            self._flush()
            self._lines.append(f"forced {self._length} {_text(tokens)}{_by(tokens[0].mod)}")
        else:
            self._sampled += tokens
        self._length += len(tokens)

    def _flush(self) -> None:
        self._lines += self._sampled_line()
        self._sampled = []

    def _sampled_line(self) -> list[str]:
        begin = self._length - len(self._sampled)
        return [f"sampled {begin} {_text(self._sampled)}"] if self._sampled else []


def _text(tokens: Iterable[Token]) -> str:
    return repr("".join(token.text for token in tokens))


def _by(mod: str | None) -> str:
    return f", by {mod}" if mod else ""

"""The control tokens of a model, and where a rendered prompt has them.

A control token is a special token, or an added token that the chat template writes, such as
`<think>`. Its name in what a request gives is text: only the template writes control tokens.
"""

import re
import threading
from collections.abc import Collection, Iterable, Iterator
from functools import cached_property
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import AddedToken, Tokenizer, models

from concordance_inference.chat.written_template import Generation
from concordance_inference.chat.written_text import flags_of, own_runs
from concordance_inference.models.renamed_tokenizer import RenamedTokenizer
from concordance_inference.models.tokenizer import ModelTokenizer

Spans = list[tuple[int, int]]

#: What the matcher calls text between names.
_OTHER = "\0"


class ControlTokens:
    """The control tokens of a model. Thread-safe."""

    def __init__(self, tokenizer: ModelTokenizer, source: str) -> None:
        """Find the control tokens.

        Args:
            tokenizer: The model's tokenizer.
            source: Its chat template; empty if it is not known.
        """
        self._tokenizer = tokenizer
        literals = [*_literals(source)]
        added: dict[int, Any] = dict(tokenizer.hf.added_tokens_decoder)
        tokens = [token for i, token in added.items() if self._is_control(i, token, literals)]
        #: Their names.
        self.names = frozenset(str(token.content) for token in tokens)
        ends = {end for name in self.names for end in (name[0], name[-1])}
        #: Every name begins and ends with one of these.
        self.ends = "".join(sorted(ends))
        self._end = re.compile(f"[{re.escape(self.ends)}]" if ends else "(?!)")
        self._joins = _joins_names(literals, self.names)
        self._is_normalized = any(token.normalized for token in tokens)
        self._lock = threading.Lock()
        self._renamed: RenamedTokenizer | None = None

    def _is_control(self, token_id: int, token: Any, literals: Collection[str]) -> bool:
        name = str(token.content)
        if not name or name.isspace():  # templates write spaces and line breaks as text
            return False
        if token.special or token_id in self._tokenizer.eos_token_ids:
            return True
        return not name.isalnum() and any(name in literal for literal in literals)

    def may_be_in(self, texts: Iterable[str]) -> bool:
        """False if a template cannot make the name of a control token of these texts.

        It can only if a text has the name's first or last character, or if the template joins
        names itself, as in `'<|' + name + '|>'`.
        """
        if not self.names:
            return False
        if self._joins:
            return True
        return any(self._end.search(text) for text in map(self._normalized, texts))

    def in_text(self, text: str) -> Spans:
        """Where a text has names of control tokens."""
        found = self._matcher.encode(str.__str__(text), add_special_tokens=False)
        return [span for i, span in zip(found.ids, found.offsets, strict=True) if i]

    def written_in(self, text: str) -> Spans:
        """Where the template itself wrote names of control tokens into a rendered text."""
        plain = str.__str__(text)
        pieces: list[str] = []
        done = 0
        for begin, end in own_runs(text):
            pieces += [_OTHER * (begin - done), plain[begin:end]]
            done = end
        return self.in_text("".join(pieces))

    def has_unwritten(self, text: str) -> bool:
        """True if the template wrote no part of a name of a control token in a rendered text."""
        flags = flags_of(text)
        return any("1" not in flags[begin:end] for begin, end in self.in_text(text))

    def are_exact(self, text: str, written: Spans) -> bool:
        """True if the tokenizer would make just these control tokens of a text."""
        return not self._is_normalized and self.in_text(text) == written

    @property
    def renamed(self) -> RenamedTokenizer:
        """The tokenizer that encodes a text in which only marked spans are control tokens.

        Made when it is first needed: a large vocabulary takes about a second to copy.

        Raises:
            ValueError: There is none for this model's tokenizer.
        """
        with self._lock:
            if self._renamed is None:
                fast = getattr(self._tokenizer.hf, "backend_tokenizer", None)
                if fast is None:
                    raise ValueError("the tokenizer is not one of the package `tokenizers`")
                self._renamed = RenamedTokenizer(fast, self.names)
            return self._renamed

    @cached_property
    def _matcher(self) -> Tokenizer:
        """Finds names as the tokenizer does: the first, and of those the longest."""
        matcher = Tokenizer(models.WordLevel(vocab={_OTHER: 0}, unk_token=_OTHER))
        matcher.add_tokens(
            [AddedToken(name, normalized=False, special=False) for name in sorted(self.names)]
        )
        return matcher

    def _normalized(self, text: str) -> str:
        """A text as names are looked for in it: some tokenizers replace look-alikes first."""
        if not self._is_normalized or text.isascii():
            return text
        normalizer = getattr(self._tokenizer.hf.backend_tokenizer, "normalizer", None)
        return text + normalizer.normalize_str(text) if normalizer is not None else text


def _literals(source: str) -> Iterator[str]:
    """The texts in a template."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    try:
        tree = environment.parse(source)
    except TemplateError:
        return
    for data in tree.find_all(nodes.TemplateData):
        yield data.data
    for const in tree.find_all(nodes.Const):
        if isinstance(const.value, str):
            yield const.value


def _joins_names(literals: Collection[str], names: Collection[str]) -> bool:
    """True if one literal ends like the beginning of a name, and another begins like its end."""
    heads = {name[:i] for name in names for i in range(1, len(name))}
    tails = {name[i:] for name in names for i in range(1, len(name))}
    longest = max(map(len, names), default=0)
    has_head = any(text[-i:] in heads for text in literals for i in range(1, longest))
    has_tail = any(text[:i] in tails for text in literals for i in range(1, longest))
    return has_head and has_tail

"""A step of a script that writes the most probable of several texts."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from concordance_shared import Added, ForwardPass

from concordance_sdk.action_builder import Actions
from concordance_sdk.script.step import Scene, Step
from concordance_sdk.script.text import EndedBy, Text

if TYPE_CHECKING:
    from concordance_sdk.holds import Hold

Path = tuple[int, ...]


class Choose(Step):
    """Computes the probability of each text, and appends the most probable one.

    The texts form a tree of tokens. Each position at which a text continues takes one forward
    pass, which texts that begin alike share:

        "yes"   y - e - s          positions: "", "y", "ye", "n", "no"
        "not"   n - o - t          passes: 5

    Nothing of this is shown: other texts are removed again.
    """

    name = "run.choose(...)"

    def __init__(self, texts: Sequence[str]) -> None:
        """Choose; see `ScriptRun.choose`."""
        super().__init__()
        self._texts = tuple(texts)
        self._begin: int | None = None
        self._hold: Hold | None = None
        self.writer = self

    def is_writing(self, step: int) -> bool:
        """True if the position `step`, the next to be decided, is inside one of the texts."""
        return self._begin is not None and step > self._begin and not self.is_done

    def start(self, scene: Scene) -> None:
        """Continue after an end-of-sequence token."""
        self._scene = scene
        draft = scene.draft
        longest = max(len(draft.text.encode(text)) for text in self._texts)
        if draft.room is not None and longest > draft.room:
            self.finish(Text("", ended_by=EndedBy.LENGTH))
        else:
            draft.drop_end()

    def forward_pass(self, event: ForwardPass, actions: Actions) -> None:
        """Read the logits of a position, and go to the next one."""
        del actions
        if self._begin is None:
            self._encode(event.step)
        path = self._path()
        next_tokens = self._next_tokens.get(path, [])
        if path not in self._logprobs and next_tokens:
            logprobs = event.logits.logprobs(next_tokens)
            self._logprobs[path] = dict(zip(next_tokens, logprobs, strict=True))
        self._go_on()

    def added(self, event: Added, actions: Actions) -> None:
        """Wait for the logits after a path."""

    def rewound(self, position: int) -> None:
        """Begin again if the text before has changed."""
        if self._begin is not None and position < self._begin:
            self.close()
            self._begin = None

    def close(self) -> None:
        """Show what follows."""
        if self._hold:  # it has started
            self._scene.request.holds.release(self._hold)
        self._hold = None

    def _encode(self, step: int) -> None:
        """Encode the texts after the completion, and hide them until one is chosen."""
        draft = self._scene.draft
        self._begin = step
        self._paths = [tuple(draft.text.encode(text)) for text in self._texts]
        self._next_tokens = _next_tokens(self._paths)
        self._logprobs: dict[Path, dict[int, float]] = {}
        self._hold = self._scene.request.holds.add(step, hides=True)

    def _path(self) -> Path:
        return tuple(self._scene.draft.token_ids[self._begin :])

    def _go_on(self) -> None:
        """Go to a position that has not been read; after the last one, write the best text."""
        unread = [path for path in self._next_tokens if path not in self._logprobs]
        if unread:
            self._go_to(unread[0])
            return
        totals = [self._total(path) for path in self._paths]
        best = max(range(len(totals)), key=totals.__getitem__)
        self._go_to(self._paths[best])
        self.finish(self._chosen(best, totals))

    def _go_to(self, path: Path) -> None:
        """Write a path in place of the current one; what both begin with stays."""
        current, draft = self._path(), self._scene.draft
        same = 0
        while same < min(len(path), len(current)) and path[same] == current[same]:
            same += 1
        draft.cut((self._begin or 0) + same)
        draft.append(path[same:])

    def _total(self, path: Path) -> float:
        """The log-probability of a text, and of none of the texts that continue it."""
        total = sum(self._logprobs[path[:i]][path[i]] for i in range(len(path)))
        longer = sum(map(math.exp, self._logprobs.get(path, {}).values()))
        return total + (math.log1p(-longer) if longer < 1 else -math.inf)

    def _chosen(self, best: int, totals: Sequence[float]) -> Text:
        path, top = self._paths[best], max(totals)
        weights = [math.exp(total - top) if top > -math.inf else 1.0 for total in totals]
        return Text(
            self._texts[best],
            token_ids=path,
            logprobs=[self._logprobs[path[:i]][path[i]] for i in range(len(path))],
            probabilities=[weight / sum(weights) for weight in weights],
        )


def _next_tokens(paths: Sequence[Path]) -> dict[Path, list[int]]:
    """The tokens that continue each proper prefix of the paths, in depth-first order.

    Examples:
        >>> _next_tokens([(1, 2), (1, 3)])
        {(): [1], (1,): [2, 3]}
    """
    found: dict[Path, list[int]] = {}
    for path in sorted(set(paths)):
        for i in range(len(path)):
            tokens = found.setdefault(path[:i], [])
            if path[i] not in tokens:
                tokens.append(path[i])
    return found

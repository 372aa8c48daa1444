"""Loops in a completion, by a search of all of its tokens after each position."""

from naive.outcome import Event

#: Limit of a header, in tokens.
MAX_HEADER = 64

#: In place of a token that is not content.
BREAK = -1

#: The logit of a token that is not sampled unless nothing else can be.
BANNED = -1e9


class LoopMod:
    """The mod in whose name a completion is rewound."""

    name = "loop_detection"


class Loops:
    """What a request asks of loop detection, and the loops so far."""

    def __init__(self, asked, world, prompt):
        """Start without a loop; `asked` is a `LoopDetection` as a dictionary, or empty."""
        self.mode = asked.get("mode", "cheap") if asked else "off"
        self.rewinds = asked.get("action", "end") == "rewind"
        self.max_tries = asked.get("max_tries", 8)
        self.world, self.prompt = world, prompt
        self.tries, self.found, self.banned = 0, [], {}

    def after_cut(self, length):
        self.banned = {step: ids for step, ids in self.banned.items() if step <= length}

    def settled(self, ids):
        """Return how many tokens no rewind removes, nor one that follows it."""
        if not self.rewinds:
            return len(ids)
        settled = []
        for n in range(len(ids) + 1):
            starts = [self.since(ids[:n], period) for period in self.periods if period < n]
            settled.append(min([n, *(settled[since] for since in starts if since < n)]))
        return settled[-1]

    @property
    def periods(self):
        return {"off": range(0), "cheap": range(1, 2), "full": range(1, 65)}[self.mode]

    def leave(self, executor):
        """End or rewind a completion that ends in a loop."""
        ids, forced = executor.ids, executor.forced
        loop = self.search(ids, forced)
        if loop is None:
            return
        begin, period = loop
        step = next(i for i in range(begin + period, len(ids)) if not forced[i])
        num_tokens = len(ids) - step
        fits = executor.num_backtracked + num_tokens <= 8 * executor.budget
        if self.rewinds and self.tries < self.max_tries and fits:
            self.tries += 1
            self.found.append((begin, period, (len(ids) - begin) // period, "rewound", self.tries))
            self.banned.setdefault(step, set()).add(ids[step])
            event = Event("ForwardPass", len(ids))
            executor.finish_decision(
                executor.apply(LoopMod, event, ["backtrack", num_tokens, None])
            )
        elif len(ids) >= executor.request.min_tokens:
            self.found.append((begin, period, (len(ids) - begin) // period, "ended", self.tries))
            executor.reason = "length"
            executor.remove_hidden()

    def search(self, ids, forced):
        """Return where the shortest loop at the end begins, and its period."""
        for period in self.periods:
            since = self.since(ids, period)
            if forced[since:].count(False) >= max(self.world.loop_repeats, 2 * period - 2):
                return since - period, period
        return None

    def since(self, ids, period):
        """Return the step from which each token equals the one `period` before it."""
        content = self.content(ids)
        since = len(ids)
        while since > period and content[since - 1] == content[since - 1 - period]:
            if BREAK in content[since - 1 - period : since]:
                break
            since -= 1
        return since

    def content(self, ids):
        """Return the tokens with `BREAK` in place of control tokens and headers."""
        content, length = [], 0
        for token_id in [*self.prompt[-MAX_HEADER:], *ids]:
            if token_id in self.world.control_ids:
                length = int(token_id in self.world.header_ids)
                content.append(BREAK)
                continue
            length = length + 1 if 0 < length < MAX_HEADER else 0
            content.append(BREAK if length else token_id)
        return content[len(content) - len(ids) :]

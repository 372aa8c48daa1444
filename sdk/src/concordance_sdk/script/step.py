"""The steps of a script: what it yields."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from concordance_shared import Action, Added, ForwardPass, Prefilled, Report

from concordance_sdk.action_builder import Actions
from concordance_sdk.request_context import RequestContext, Writer
from concordance_sdk.script.draft import Draft
from concordance_sdk.script.mark import Guard, Mark, Marks
from concordance_sdk.script.text import Text
from concordance_sdk.tokenizer import Tokenizer


class Scene:
    """What a script, its run and its steps share.

    Attributes:
        draft: The completion, with the edit that is pending.
        tokenizer: The model's.
        request: What the mods of the request share.
        prefilled: The first event, once it was received.
        reports: The reports to send at this event.
        num_steps: Steps that the script has completed at this event.
        made: The steps that the script made and has not yielded yet.
        marks: The marks of the script.
        guards: The guards of the blocks that the script is in.
        new_guards: The guards that the script made since it yielded last.
    """

    def __init__(self, tokenizer: Tokenizer, request: RequestContext) -> None:
        """Start before the first event."""
        self.draft = Draft(tokenizer)
        self.tokenizer = tokenizer
        self.request = request
        self.prefilled: Prefilled | None = None
        self.reports: list[Report] = []
        self.num_steps = 0
        self.made: list[Step] = []
        self.marks = Marks()
        self.guards: list[Guard] = []
        self.new_guards: list[Guard] = []


class Step:
    """One step of a script. It is given events until it is done, and writes in `scene.draft`.

    Attributes:
        name: How the script made it, such as `run.force(...)`, for messages.
        made_at: The file and line of the script that made it, for messages.
        is_done: True once it has a result.
        result: What `yield` returns.
        writer: What writes a span of the completion for this step; others wait for its end.
        held_from: The step of the first token that a stream has to hold back; `None` for none.

    Examples:
        A step of your own:

        >>> from concordance_sdk import mod
        >>> from concordance_sdk.testing import play
        >>> class Bullet(Step):
        ...     name = "Bullet()"
        ...
        ...     def start(self, scene):
        ...         scene.draft.append(scene.tokenizer.encode("-"))
        ...         self.finish(None)
        >>> @mod
        ... def listed(run):
        ...     yield run.step(Bullet())
        >>> play(listed, says=" milk").text
        '- milk'
    """

    name = "a step"
    made_at = ""
    writer: Writer | None = None

    def __init__(self) -> None:
        """Make a step that has not started."""
        self.is_done = False
        self.result: Any = None
        self.held_from: int | None = None

    def start(self, scene: Scene) -> None:
        """Begin. A step that needs no event is done afterwards."""

    def forward_pass(self, event: ForwardPass, actions: Actions) -> Action | None:
        """Act before a position is sampled. Called only while no edit is pending."""

    def added(self, event: Added, actions: Actions) -> None:
        """Follow tokens that were added; the draft has them already."""

    def action(self, actions: Actions) -> Action | None:
        """The action that ends the request, for a step that does; called without a pending edit."""

    def rewound(self, position: int) -> None:
        """Take into account that another mod cut the completion to `position` tokens."""

    def close(self) -> None:
        """Free what it holds. Called once, when it is done or the request has ended."""

    def finish(self, result: Any) -> None:
        """Be done, with a result."""
        self.is_done, self.result = True, result


class Force(Step):
    """Appends text without sampling it."""

    name = "run.force(...)"

    def __init__(self, text: str | Sequence[int]) -> None:
        """Force a text, or token ids."""
        super().__init__()
        self._forced = text

    def start(self, scene: Scene) -> None:
        """Append the text."""
        forced, draft = self._forced, scene.draft
        token_ids = scene.tokenizer.encode(forced) if isinstance(forced, str) else list(forced)
        added = draft.append(token_ids)
        end = draft.num_text_tokens
        begin = len(draft) - len(added)
        is_cut = len(added) < len(token_ids)
        text = forced if isinstance(forced, str) and not is_cut else draft.text.between(begin, end)
        self.finish(Text(text, token_ids=draft.token_ids[begin:end]))


class ForceInFinal(Force):
    """Appends text in the channel `final`, which it opens if it has to."""

    def start(self, scene: Scene) -> None:
        """Wait for an event at which no edit is pending; a model without channels needs none."""
        self._scene = scene
        if scene.request.channels is None:
            super().start(scene)

    def forward_pass(self, event: ForwardPass, actions: Actions) -> None:
        """End the message, unless it is a call of a tool, or ends inside a character."""
        del event, actions
        channels = self._scene.request.channels
        ids = channels.to_final() if channels and channels.is_whole else None
        if ids is not None:
            self._scene.draft.append(ids)
            super().start(self._scene)


class Rewind(Step):
    """Removes the text after a mark."""

    name = "run.rewind(...)"

    def __init__(self, mark: Mark) -> None:
        """Rewind to a mark."""
        super().__init__()
        self._mark = mark

    def start(self, scene: Scene) -> None:
        """Remove the text."""
        scene.draft.cut(self._mark.position)
        for mark in scene.marks:
            mark.rewound(self._mark.position)
        scene.draft.append(self._mark.end_ids)
        self.finish(None)


class SendReport(Step):
    """Sends data to the client."""

    name = "run.report(...)"

    def __init__(self, data: Mapping[str, Any]) -> None:
        """Send data."""
        super().__init__()
        self.report = Report(data)

    def start(self, scene: Scene) -> None:
        """Send the data with what the script does at this event."""
        scene.reports.append(self.report)
        self.finish(None)


class Look(Step):
    """Waits for the logits of the next position."""

    name = "run.logits()"

    def start(self, scene: Scene) -> None:
        """Continue after an end-of-sequence token."""
        scene.draft.drop_end()

    def forward_pass(self, event: ForwardPass, actions: Actions) -> None:
        """Return the logits."""
        del actions
        self.finish(event.logits)


class Stop(Step):
    """Ends the completion, and the script: it has no result."""

    name = "run.stop()"

    def start(self, scene: Scene) -> None:
        """Append the end-of-sequence token."""
        scene.draft.end()


class End(Step):
    """Ends the request by an action."""

    def __init__(self, name: str, make: Callable[[Actions], Action]) -> None:
        """End the request.

        Args:
            name: How the script made the step.
            make: Makes the action.
        """
        super().__init__()
        self.name = name
        self._make = make

    def start(self, scene: Scene) -> None:
        """Wait for an event at which no edit is pending."""

    def action(self, actions: Actions) -> Action:
        """The action."""
        return self._make(actions)

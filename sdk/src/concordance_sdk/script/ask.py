"""A question of a script to the model."""

from concordance_shared import Action, Added, ForwardPass

from concordance_sdk.action_builder import Actions
from concordance_sdk.constraints import Constraint, compile_constraint
from concordance_sdk.constraints.constraint import require_constraint
from concordance_sdk.script.logprobs import SampledLogprobs
from concordance_sdk.script.step import Scene, Step
from concordance_sdk.script.text import EndedBy, Text
from concordance_sdk.self_prompt.edit import Edit, EraseMode
from concordance_sdk.self_prompt.run import SelfPromptRun


class Ask(Step):
    """Forces a prompt, has the model answer it under a constraint, and erases both."""

    name = "run.ask(...)"

    def __init__(
        self,
        prompt: str,
        constraint: Constraint,
        *,
        erase: EraseMode,
        temperature: float | None,
        logprobs: bool,
    ) -> None:
        """Ask; see `ScriptRun.ask`."""
        super().__init__()
        require_constraint(constraint, "the constraint of run.ask")
        self._prompt = prompt
        self._constraint = constraint
        self._erase = erase
        self._temperature = temperature
        self._logprobs = SampledLogprobs() if logprobs else None
        self._run: SelfPromptRun | None = None  # once the step has started
        self._end: list[int] = []  # the end-of-sequence token that the question replaces

    def start(self, scene: Scene) -> None:
        """Force the prompt, unless another mod is writing."""
        self._scene = scene
        self._run = run = SelfPromptRun(
            scene.tokenizer.encode(self._prompt),
            compile_constraint(self._constraint, scene.tokenizer),
            erase=self._erase,
            temperature=self._temperature,
        )
        self.writer = run
        self._begin(run)

    def forward_pass(self, event: ForwardPass, actions: Actions) -> Action | None:
        """Force the prompt, or mask the logits of the answer."""
        run = self._run
        assert run is not None  # it has started
        if not run.has_begun:
            self._begin(run)
            return None
        if self._logprobs:
            self._logprobs.forward_pass(event)
        edit = run.before(event.step)
        self._make(run, edit)
        return None if edit or self.is_done else run.masked(actions)

    def added(self, event: Added, actions: Actions) -> None:
        """Follow the answer; erase once it is complete."""
        del actions
        if self._logprobs:
            self._logprobs.added(event)
        run = self._run
        assert run is not None  # it has started
        self._make(run, run.after(event.step, event.added_tokens))

    def close(self) -> None:
        """Remove a question that was not answered, and show what follows."""
        begin = self._run.close() if self._run else None
        if begin is not None:
            self._scene.draft.cut(begin)

    def _begin(self, run: SelfPromptRun) -> None:
        draft = self._scene.draft
        if draft.room is not None and draft.room <= len(run.prompt_ids):
            self.finish(Text("", ended_by=EndedBy.LENGTH))  # no room for an answer
            return
        if self._erase is EraseMode.ALL and draft.has_ended:
            self._end = draft.token_ids[-1:]
        draft.drop_end()
        if not run.waits(len(draft)):
            draft.append(run.begin(len(draft)).tokens)

    def _make(self, run: SelfPromptRun, edit: Edit) -> None:
        """Make the edit of the run. The last one erases, and restores the end of the completion."""
        draft = self._scene.draft
        if edit:
            draft.cut(len(draft) - edit.n)
            draft.append(edit.tokens)
        if run.is_complete:
            draft.append(self._end)
            self.finish(self._answer(run))
        elif draft.is_full and not draft.edit and run.has_begun:
            self._cut_short(run)

    def _cut_short(self, run: SelfPromptRun) -> None:
        """End at the token budget, inside the answer, of which what is not erased stays."""
        draft, first = self._scene.draft, run.begin_step
        answer, begin = draft.token_ids[first:], first - len(run.prompt_ids)
        run.close()
        if self._erase is not EraseMode.NONE:
            draft.cut(begin)
            draft.append(answer if self._erase is EraseMode.PROMPT else self._end)
        text = self._scene.tokenizer.decode(answer)
        logprobs = self._logprobs.of(first, first + len(answer)) if self._logprobs else None
        self.finish(Text(text, token_ids=answer, logprobs=logprobs, ended_by=EndedBy.LENGTH))

    def _answer(self, run: SelfPromptRun) -> Text:
        begin, end = run.begin_step, run.begin_step + len(run.token_ids)
        return Text(
            run.text or "",
            token_ids=run.token_ids,
            logprobs=self._logprobs.of(begin, end) if self._logprobs else None,
            value=run.value,
            ended_by=EndedBy.CONSTRAINT,
        )

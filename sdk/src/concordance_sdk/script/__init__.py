"""Script mods: a generator function that reads from top to bottom.

    from concordance_sdk import mod
    from concordance_sdk.constraints import ChoicesStrat

    @mod
    def self_check(run):
        start = run.mark()
        yield run.generate()
        verdict = yield run.ask(" Is that correct? ", ChoicesStrat(["yes", "no"]))
        if verdict == "no":
            yield run.rewind(start)
            yield run.force("Let me think again:")
            yield run.generate(temperature=0.3)

Each request has its own run of the script, inside the engine, on top of the same events and actions
that handlers use. It is batched, streamed and tested as any other mod.
"""

from concordance_sdk.script.mark import Guard, Mark, Rewound
from concordance_sdk.script.run import ScriptRun
from concordance_sdk.script.step import Step
from concordance_sdk.script.text import EndedBy, Text

__all__ = ["EndedBy", "Guard", "Mark", "Rewound", "ScriptRun", "Step", "Text"]

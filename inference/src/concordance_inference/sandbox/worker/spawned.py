"""A worker that is a program of its own, on systems where forking is unsafe.

Executed by the zygote as `python -I -m concordance_inference.sandbox.worker.spawned SETUP`.
"""

import gc
import os
import sys

from concordance_inference.sandbox.confinement.platform import prepare
from concordance_inference.sandbox.worker import imports
from concordance_inference.sandbox.worker.models import load_model, state_of
from concordance_inference.sandbox.worker.output import capture
from concordance_inference.sandbox.worker.process import WorkerSetup, run_worker
from concordance_inference.sandbox.worker.starting import (
    CHANNEL,
    FIRST_TOKENIZER,
    MEMORY,
    SpawnSetup,
)


def main() -> None:
    """Load the modules and the tokenizers, then be a worker."""
    os.putenv("OPENBLAS_NUM_THREADS", "1")
    setup = SpawnSetup.decoded(sys.argv[1])
    imports.preload()
    prepare()
    models = {
        spec.model: load_model(spec, state_of(FIRST_TOKENIZER + i))
        for i, spec in enumerate(setup.models)
    }
    gc.freeze()
    worker = WorkerSetup(CHANNEL, MEMORY, setup.layout, setup.limits, setup.parent)
    run_worker(worker, models, capture())


if __name__ == "__main__":
    main()

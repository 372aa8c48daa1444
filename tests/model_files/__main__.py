"""Compares the engine with mlx-lm for every model file, and writes the table into the docs.

    PYTHONPATH=tests uv run python -m model_files            # files without an outcome
    PYTHONPATH=tests uv run python -m model_files llama rwkv7  # these files again
    PYTHONPATH=tests uv run python -m model_files --write     # then write docs/model-files.md
    PYTHONPATH=tests uv run python -m model_files falcon_h1 --weights 8bit  # printed, not saved
    PYTHONPATH=tests uv run python -m model_files --seed 2  # every file; printed, not saved

Each file runs in its own process. Outcomes are saved in `tests/model_files/outcomes.jsonl`, so that
an interrupted run can be resumed; a new version of mlx-lm starts over.
"""

import argparse
import multiprocessing
import sys

from concordance_inference.models.blas import preload_blas

preload_blas()  # must precede the import of mlx

from model_files import table  # noqa: E402
from model_files.compare import WEIGHTS  # noqa: E402
from model_files.configs import model_files  # noqa: E402
from model_files.outcome import Outcome, Verdict, outcome_of  # noqa: E402

_FORK = multiprocessing.get_context("fork")

#: Time limit for one model file.
_TIMEOUT_S = 600


def main() -> None:
    """Compare model files as the arguments say."""
    parser = argparse.ArgumentParser(prog="model_files", description=__doc__)
    parser.add_argument("names", nargs="*", help="model files to compare again")
    parser.add_argument("--write", action="store_true", help="write the table into the docs")
    parser.add_argument("--weights", choices=WEIGHTS, default="float32", help="type of the weights")
    parser.add_argument("--seed", type=int, default=1, help="seed of weights, prompts and actions")
    options = parser.parse_args()
    is_saved = options.weights == "float32" and options.seed == 1
    known = table.read_outcomes()
    missing = [name for name in model_files() if name not in known or not is_saved]
    for name in options.names or missing:
        outcome = _in_a_process(name, options.weights, options.seed)
        _show(outcome)
        if is_saved:
            known[name] = outcome
            table.save_outcomes(known)
    if options.write:
        table.write_page(known)


def _show(outcome: Outcome) -> None:
    differences = f"mlx-lm {outcome.own:.1e}, engine {outcome.engine:.1e}"
    words = [outcome.verdict, outcome.sharing, differences, outcome.note, outcome.why]
    sys.stdout.write(f"{outcome.name}: {'; '.join(word for word in words if word)}\n")
    sys.stdout.flush()


def _in_a_process(name: str, weights: str, seed: int) -> Outcome:
    """Compare a file in a fork of this process, which has not used the device yet."""
    here, there = _FORK.Pipe(duplex=False)
    process = _FORK.Process(target=lambda: there.send(outcome_of(name, weights, seed)))
    process.start()
    there.close()
    try:
        if here.poll(_TIMEOUT_S):
            return here.recv()
        note = f"takes longer than {_TIMEOUT_S} s"
    except EOFError:
        process.join()
        note = f"the process ended with exit status {process.exitcode}"
    finally:
        process.kill()
    return Outcome(name=name, verdict=Verdict.NOT_DECIDED, note=note)


if __name__ == "__main__":
    main()

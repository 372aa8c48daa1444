"""`python -m naive`: compares the engine with the executor on random programs."""

import argparse
import logging
import random
import sys
import time
import traceback
from collections import Counter, defaultdict

from naive.compare import Report, check
from naive.models import MODELS, family_of
from naive.programs import from_json, random_program
from naive.shrink import HARNESS, shrunk


def main(argv=None):
    """Run the command line; the exit status is 1 if anything differs."""
    args = _arguments(argv)
    logging.disable(logging.WARNING)
    if args.program:
        text = sys.stdin.read() if args.program == "-" else args.program
        report = checked(from_json(text), strict=args.strict)
        say("\n".join(report.differences) or f"no difference; near ties: {report.near_ties}")
        return bool(report.differences)
    models = [m for m in MODELS if not args.family or family_of(m) in args.family]
    totals, failures = Counter(), defaultdict(int)
    started = time.monotonic()
    for number in range(args.start, args.start + args.programs):
        model = models[number % len(models)]
        program = random_program(random.Random(f"{args.seed}/{number}"), model)
        report = checked(program, strict=args.strict)
        _count(totals, model, report)
        for tie in report.near_ties:
            say(f"near tie in program {number} ({model}): {tie}")
        if report.differences:
            failures[model] += 1
            _report(number, program, report, 0 if args.no_shrink else args.shrink_for)
            if sum(failures.values()) >= args.stop_after:
                break
        if args.every and (number + 1) % args.every == 0:
            say(f"{number + 1} programs, {time.monotonic() - started:.0f} s", flush=True)
    _summary(models, totals, failures, time.monotonic() - started)
    return bool(failures)


def checked(program, *, strict=False):
    """Compare one program; an exception counts as a difference."""
    try:
        return check(program, strict=strict)
    except Exception as exc:
        where = traceback.extract_tb(exc.__traceback__)[-1]
        return Report(
            [f"{HARNESS} {type(exc).__name__}: {exc} ({where.name}, line {where.lineno})"]
        )


def say(*words, flush=False):
    """Print, without buffering long runs."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    if flush:
        sys.stdout.flush()


def _arguments(argv):
    parser = argparse.ArgumentParser(prog="python -m naive", description=__doc__)
    parser.add_argument("--programs", type=int, default=1000, help="number of programs")
    parser.add_argument("--seed", default="0", help="seed of the programs")
    parser.add_argument("--start", type=int, default=0, help="number of the first program")
    parser.add_argument("--family", action="append", help="models of this family only; repeatable")
    parser.add_argument(
        "--strict", action="store_true", help="run a fresh pass for every token list"
    )
    parser.add_argument(
        "--stop-after", type=int, default=1, help="stop after this many differences"
    )
    parser.add_argument(
        "--no-shrink", action="store_true", help="print failing programs without shrinking them"
    )
    parser.add_argument(
        "--shrink-for", type=float, default=60, help="time limit of shrinking, in seconds"
    )
    parser.add_argument(
        "--every", type=int, default=500, help="report progress every N programs; 0: never"
    )
    parser.add_argument("--program", help="run this program only (JSON, or - for standard input)")
    return parser.parse_args(argv)


def _count(totals, model, report):
    totals[model, "programs"] += 1
    totals[model, "requests"] += report.num_requests
    totals[model, "tokens"] += report.num_tokens
    totals[model, "near ties"] += len(report.near_ties)
    totals[model, "worst"] = max(totals[model, "worst"], report.worst)


def _report(number, program, report, shrinks_for):
    say(f"\nprogram {number} ({program.model}): {report.differences[0]}")
    if shrinks_for:
        program, report = shrunk(program, checked, seconds=shrinks_for)
        say(f"the smallest program that differs: {report.differences[0]}")
    say(f"python -m naive --program '{program.to_json()}'\n", flush=True)


def _summary(models, totals, failures, seconds):
    say(
        f"\n{'model':22}{'programs':>9}{'requests':>9}{'tokens':>9}{'ties':>6}{'worst':>9}{'differ':>8}"
    )
    for model in models:
        numbers = [totals[model, key] for key in ("programs", "requests", "tokens", "near ties")]
        say(
            f"{model:22}{numbers[0]:9}{numbers[1]:9}{numbers[2]:9}{numbers[3]:6}"
            f"{totals[model, 'worst']:9.1e}{failures[model]:8}"
        )
    num_programs = sum(totals[model, "programs"] for model in models)
    say(f"{num_programs} programs in {seconds:.0f} s, {sum(failures.values())} differ", flush=True)


if __name__ == "__main__":
    sys.exit(main())

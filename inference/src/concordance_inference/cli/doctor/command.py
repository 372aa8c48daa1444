"""Runs all checks and prints what they found."""

import sys
from collections import Counter

import msgspec

from concordance_inference.cli.doctor import machine, models, places
from concordance_inference.cli.doctor.finding import Check, Finding, findings
from concordance_inference.cli.options import Doctor

CHECKS: tuple[Check, ...] = (
    *(machine.python, machine.packages, machine.device, machine.precision, machine.cpu),
    *(models.memory, models.embedded, models.model),
    *(places.settings, places.cache, places.store, places.hub, places.address, places.mods),
    machine.limits,
)


def run(options: Doctor) -> None:
    """Print the findings; exit with status 1 if `serve` with these options would stop."""
    found = [finding for check in CHECKS for finding in findings(check, options)]
    num_problems = Counter(each.status for each in found)["problem"]
    if options.json:
        body = {"ok": num_problems == 0, "findings": found}
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(body)).decode() + "\n")
    else:
        print(*map(_line, found), "", _summary(num_problems), sep="\n")
    if num_problems:
        sys.exit(1)


def _line(found: Finding) -> str:
    return f"{found.status:<9}{found.check:<10}{found.text}"


def _summary(num_problems: int) -> str:
    if num_problems:
        them = "1 problem" if num_problems == 1 else f"{num_problems} problems"
        return f"{them}: `concordance serve` with these options would stop"
    return "`concordance serve` with these options would start"

"""Shrinks a failing program while it still fails."""

import copy
import json
import time

from naive.programs import from_json

#: Prefix of the message of an exception in the comparison itself.
HARNESS = "the comparison raised"


def shrunk(program, check, *, seconds=60.0):
    """Return the smallest program found that still differs, and its report.

    Args:
        program: A program that differs.
        check: Returns the report of a program.
        seconds: Time limit.
    """
    data, report = json.loads(program.to_json()), check(program)
    end, improved = time.monotonic() + seconds, True
    while improved and time.monotonic() < end:
        improved = False
        for smaller in _smaller(data):
            if time.monotonic() >= end:
                break
            found = _differs(smaller, check)
            if found:
                data, report, improved = smaller, found, True
                break
    return from_json(data), report


def _differs(data, check):
    try:
        program = from_json(copy.deepcopy(data))
    except (TypeError, KeyError):
        return None
    report = check(program)
    is_ours = any(difference.startswith(HARNESS) for difference in report.differences)
    return report if report.differences and not is_ours else None


def _smaller(data):
    """Yield smaller programs, those with the most removed first."""
    yield from _without_requests(data)
    yield from _shorter_lists(data)
    yield from _without_fields(data)
    yield from _smaller_numbers(data)


def _shorter_lists(data):
    for path, value in list(_places(data)):
        if isinstance(value, list) and len(value) > 1 and _is_list_of_many(path):
            half = len(value) // 2
            for part in (value[:half], value[half:], value[1:], value[:-1]):
                yield _with(data, path, part)
        elif value and path[-1] in ("mods", "contains", "rules", "stop"):
            yield _with(data, path, [])


def _without_fields(data):
    for key in [key for key in data if key not in ("model", "requests")]:
        yield _without(data, (key,))
    for i, request in enumerate(data["requests"]):
        for key in [key for key in request if key not in ("prompt", "max_tokens")]:
            yield _without(data, ("requests", i, key))
        for key in request.get("sampling", {}):
            if key not in ("temperature", "seed"):
                yield _without(data, ("requests", i, "sampling", key))


def _smaller_numbers(data):
    for path, value in list(_places(data)):
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            for less in sorted({0, value // 2, value - 1}):
                if less > 0 or not ("when" in path or path[-1] in _POSITIVE):
                    yield _with(data, path, less)


_POSITIVE = ("growth", "context", "chunk", "max_rows")


def _is_list_of_many(path):
    names = ("prompt", "rules", "mods", "on", "stop", "eos", "steps")
    return path[-1] in names or "do" in path or "steps" in path


def _without_requests(data):
    for i in reversed(range(len(data["requests"]))):
        rest = copy.deepcopy(data)
        del rest["requests"][i]
        if any(request.get("after") == i for request in rest["requests"]):
            continue
        for request in rest["requests"]:
            if request.get("after", -1) is not None and request.get("after", -1) > i:
                request["after"] -= 1
        if rest["requests"]:
            yield rest


def _places(value, path=()):
    if path:
        yield path, value
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = (
            enumerate(value)
            if len(value) < 40 or not all(isinstance(v, int) for v in value)
            else ()
        )
    else:
        items = ()
    for key, inner in items:
        yield from _places(inner, (*path, key))


def _with(data, path, value):
    changed = copy.deepcopy(data)
    _at(changed, path[:-1])[path[-1]] = value
    return changed


def _without(data, path):
    changed = copy.deepcopy(data)
    del _at(changed, path[:-1])[path[-1]]
    return changed


def _at(place, path):
    for key in path:
        place = place[key]
    return place

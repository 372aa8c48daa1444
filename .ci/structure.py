"""Checks the structure of the packages, with the standard library alone.

No circle of imports, no class with more methods than `MAX_METHODS`, no folder `engine/` with more
modules than `MAX_MODULES`, and functions whose bodies are short: the median and the 90th
percentile. Prints the figures and a line for each fault; exits with 1 if there is one. The number
of modules without a test file of their name is a figure only.
"""

import ast
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("shared", "sdk", "inference")
ENGINE = "inference/src/concordance_inference/engine"
MAX_METHODS = 20
MAX_MODULES = 8
MAX_MEDIAN_LINES = 8
MAX_P90_LINES = 25

Function = ast.FunctionDef | ast.AsyncFunctionDef


def main() -> int:
    """Print the figures and every fault of this repository; return the exit code."""
    root = Path(__file__).resolve().parent.parent
    if "--untested" in sys.argv[1:]:
        print(*without_mirror(root), sep="\n")
        return 0
    figures, found = measure(root)
    print(*(f"{name}: {value}" for name, value in figures.items()), *found, sep="\n")
    return 1 if found else 0


def measure(root: Path) -> tuple[dict[str, object], list[str]]:
    """The figures by name, and the faults."""
    trees = {name: ast.parse(path.read_text("utf-8")) for name, path in modules(root).items()}
    lines = sorted(
        body_lines(node)
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, Function)
    )
    methods = {
        f"{name}.{node.name}": sum(is_method(each) for each in node.body)
        for name, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    circles = import_circles(trees)
    num_modules = len([path for path in (root / ENGINE).glob("*.py") if path.stem != "__init__"])
    largest = max(methods, key=methods.__getitem__, default="")
    median, p90 = statistics.median(lines or [0]), lines[int(len(lines) * 0.9)] if lines else 0
    figures: dict[str, object] = {
        "modules": len(trees),
        "functions": len(lines),
        "body lines, median / p90 / max": f"{median:g} / {p90} / {max(lines, default=0)}",
        "largest class": f"{largest}, {methods.get(largest, 0)} methods",
        "modules at the top of engine/": num_modules,
        "import circles": len(circles),
        "modules without a test file of their name": len(without_mirror(root)),
    }
    found = [f"circle of imports: {' <-> '.join(circle)}" for circle in circles]
    found += [
        f"{name}: {number} methods, at most {MAX_METHODS}"
        for name, number in methods.items()
        if number > MAX_METHODS
    ]
    if num_modules > MAX_MODULES:
        found.append(f"{ENGINE}: {num_modules} modules, at most {MAX_MODULES}; use a sub-package")
    if median > MAX_MEDIAN_LINES or p90 > MAX_P90_LINES:
        found.append(f"bodies: at most {MAX_MEDIAN_LINES} / {MAX_P90_LINES} lines (median / p90)")
    return figures, found


def modules(root: Path) -> dict[str, Path]:
    """The modules of the packages, by their dotted names."""
    found: dict[str, Path] = {}
    for package in PACKAGES:
        source = root / package / "src"
        for path in sorted(source.rglob("*.py")):
            parts = path.relative_to(source).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def without_mirror(root: Path) -> list[str]:
    """Return the modules that have no test file of their name.

    `python3 .ci/structure.py --untested` lists them: many are tested through others.
    """
    tests = {path.stem for path in (root / "tests").rglob("test_*.py")}
    return [
        name
        for name, path in modules(root).items()
        if path.stem not in ("__init__", "__main__") and f"test_{path.stem}" not in tests
    ]


def is_method(node: ast.stmt) -> bool:
    """True for a method or property; the data model's (`__add__`) do not count."""
    return isinstance(node, Function) and not node.name.startswith("__")


def body_lines(function: Function) -> int:
    """Lines from the first statement after the docstring to the end."""
    body = function.body
    if ast.get_docstring(function) is not None:
        body = body[1:]
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


def import_circles(trees: dict[str, ast.Module]) -> list[list[str]]:
    """Modules that import each other, directly or not: strongly connected components.

    Imports inside functions count: they open a circle for Python, and not for readers.
    """
    arrows = {name: set(imported(tree, trees)) for name, tree in trees.items()}
    reached = {name: reachable(name, arrows) for name in arrows}
    circles = {
        tuple(sorted(other for other in reached[name] if name in reached[other]))
        for name in arrows
        if name in reached[name]
    }
    return [list(circle) for circle in sorted(circles)]


def reachable(name: str, arrows: dict[str, set[str]]) -> set[str]:
    """All modules that a module imports, directly or not."""
    seen: set[str] = set()
    left = [*arrows[name]]
    while left:
        if (current := left.pop()) not in seen:
            seen.add(current)
            left += arrows[current]
    return seen


def imported(tree: ast.Module, known: dict[str, ast.Module]) -> Iterator[str]:
    """The modules of ours that a module imports, those for type checking left out."""
    for node in runtime_nodes(tree):
        if isinstance(node, ast.ImportFrom) and node.module in known:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                yield submodule if submodule in known else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)


def runtime_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes, without the bodies of `if TYPE_CHECKING:`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        yield node
        yield from runtime_nodes(node)


if __name__ == "__main__":
    sys.exit(main())

"""The comparison of ten tasks, with the lines of `examples/ten_tasks/`."""

import ast
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parents[2] / "examples" / "ten_tasks"


class Task(NamedTuple):
    """A task, the file of its mod, and how other libraries do it."""

    name: str
    file: str
    processor: str
    guidance: str


TASKS = (
    Task(
        "replace a phrase while it is written",
        "competitor",
        "not possible, since tokens cannot be removed: a filter of the stream, and the model "
        "continues as if the phrase were there",
        "not directly",
    ),
    Task(
        "JSON with a label and a confidence",
        "label",
        "vLLM: structured outputs, nothing to write; HF: with outlines or xgrammar",
        "natural, about as short",
    ),
    Task(
        "two sentences",
        "two_sentences",
        "HF: `StoppingCriteria`, about 10 lines, then trim; vLLM: in the client",
        "a stop expression, 1 line",
    ),
    Task(
        "budget forcing: more reasoning where the model would end it",
        "budget_forcing",
        "can ban the end token, cannot insert a text: a loop of requests",
        "a loop, natural, about as short",
    ),
    Task(
        "self-check, and one more try",
        "self_check",
        "a second request by the caller, about 15 lines",
        "8 lines",
    ),
    Task(
        "cooler where the model is unsure",
        "cooler",
        "5 lines, shorter",
        "not possible",
    ),
    Task(
        "watermark, and its detector",
        "watermark",
        "HF: built in (`WatermarkingConfig`, `WatermarkDetector`); else about 15 lines on the "
        "device",
        "not possible",
    ),
    Task(
        "route the question to a tool",
        "router",
        "two requests, or the model's tool calls and a parser",
        "`select`, 3 lines, shorter",
    ),
    Task(
        "probabilities, and a summary of them as data",
        "probabilities",
        "`logprobs`, nothing to write; the summary is the caller's",
        "available to the program",
    ),
    Task(
        "begin a second answer in another way",
        "second_turn",
        "in the caller or a proxy",
        "in the caller",
    ),
)


def ten_tasks() -> str:
    """A row for each task; the column of lines only once the examples exist."""
    lines = [num_lines(FOLDER / f"{task.file}.py") for task in TASKS]
    has_lines = any(lines)
    head = ["task", *(["mod, lines"] if has_lines else []), "logits processor", "guidance program"]
    rows = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for task, count in zip(TASKS, lines, strict=True):
        # No link: the site has no page for a file outside of docs/.
        shown = f"{count} (`{task.file}.py`)" if count else "none yet"
        cells = [task.name, *([shown] if has_lines else []), task.processor, task.guidance]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def num_lines(path: Path) -> int:
    """Lines of a file without blank lines, comments, docstrings and the part that plays it.

    0 if there is no file.
    """
    if not path.is_file():
        return 0
    source = path.read_text("utf-8").partition('\nif __name__ == "__main__":\n')[0]
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docs = {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, documented) and ast.get_docstring(node) is not None
        for line in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)
    }
    return sum(
        1
        for at, line in enumerate(source.splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#") and at not in docs
    )

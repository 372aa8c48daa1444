"""Check the tracked files as text, with the standard library alone.

No file has a merge conflict marker, and every path that a page names in backticks exists.
Prints a line per fault, `FILE:LINE: what is wrong`, and exits with 1 if there is one.
"""

import re
import subprocess
import sys
from pathlib import Path

MARKER = re.compile(r"^(<{7}|\|{7}|={7}|>{7})( .*)?$")
NAMED_PATH = re.compile(r"`([\w./*-]+(?:\.(?:py|md)|/)|[\w./*-]+/[\w.*-]+\.(?:toml|json|yml))`")
FENCE = re.compile(r"^ {0,3}```")


def main() -> int:
    """Print every fault of this repository; return the exit code."""
    root = Path(__file__).resolve().parent.parent
    found = faults(root, tracked_files(root))
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


def tracked_files(root: Path) -> list[str]:
    """Paths of all tracked files that exist, relative to `root`."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True
    )
    return [name for name in listed.stdout.split("\0") if name and (root / name).is_file()]


def faults(root: Path, files: list[str]) -> list[str]:
    """Faults of some files, as `FILE:LINE: what is wrong`."""
    known = [*files, *sorted({f"{parent}/" for name in files for parent in Path(name).parents})]
    found: list[str] = []
    for name in files:
        try:
            lines = (root / name).read_text("utf-8").splitlines()
        except UnicodeDecodeError:
            continue  # a binary file
        found += [f"{name}:{at}: unresolved merge conflict" for at in conflict_lines(lines)]
        if name.endswith(".md"):
            found += [
                f"{name}:{at}: `{path}` does not exist" for at, path in missing_paths(lines, known)
            ]
    return found


def conflict_lines(lines: list[str]) -> list[int]:
    """Line numbers of merge conflict markers.

    A line of seven `=` may underline a title, so it counts only beside other markers.
    """
    marked = [at for at, line in enumerate(lines, 1) if MARKER.match(line)]
    return marked if any(not lines[at - 1].startswith("=") for at in marked) else []


def missing_paths(lines: list[str], known: list[str]) -> list[tuple[int, str]]:
    """Paths in backticks that are not the end of a known path, with their lines.

    `...` matches any folders and `*` any name. A file that a code block on the same page
    mentions, or whose name contains `my_`, is one that the reader creates.
    """
    blocks, prose = split_blocks(lines)
    return [
        (at, path)
        for at, line in prose
        for path in NAMED_PATH.findall(line)
        if path not in blocks and "my_" not in path and not is_known(path, known)
    ]


def split_blocks(lines: list[str]) -> tuple[str, list[tuple[int, str]]]:
    """The text of a page's code blocks, and its other lines with their numbers."""
    blocks: list[str] = []
    prose: list[tuple[int, str]] = []
    is_code = False
    for at, line in enumerate(lines, 1):
        if FENCE.match(line):
            is_code = not is_code
        elif is_code:
            blocks.append(line)
        else:
            prose.append((at, line))
    return "\n".join(blocks), prose


def is_known(path: str, known: list[str]) -> bool:
    """True if a path, or the end of one, is known."""
    pattern = re.escape(path.removeprefix("./")).replace(re.escape("..."), ".*")
    ends_with = re.compile(rf"(.*/)?{pattern.replace(re.escape('*'), '[^/]*')}")
    return any(ends_with.fullmatch(name) for name in known)


if __name__ == "__main__":
    sys.exit(main())

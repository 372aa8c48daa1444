"""The entry point of the `concordance` command. Handles Ctrl-C before anything slow is imported."""

import sys

#: The exit status of a command that SIGINT ended.
INTERRUPTED = 130


def main() -> None:
    """Run the command line; exit quietly on Ctrl-C before a command has started."""
    try:
        from concordance_inference.cli.collection import collect_as_usual, collect_rarely

        collect_rarely()
        try:
            from concordance_inference.cli.main import main as run

            run()
        finally:
            collect_as_usual()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)

"""The entry point of the `concordance` command. Imports nothing slow before Ctrl-C is handled."""

import sys

#: What a shell reports of a command that SIGINT ended.
INTERRUPTED = 130


def main() -> None:
    """Run the command line; Ctrl-C before a command has begun ends it quietly."""
    try:
        from concordance_inference.cli.main import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)

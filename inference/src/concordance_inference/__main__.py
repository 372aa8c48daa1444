"""`python -m concordance_inference` is the `concordance` command."""

from concordance_inference.cli.entry import main

main()

"""The engine, the server and the command line of Concordance."""

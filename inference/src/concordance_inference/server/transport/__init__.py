"""HTTP: the protocol, bodies, streams, errors and disconnects."""

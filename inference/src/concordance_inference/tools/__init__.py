"""Tools that the model may call: the formats of calls, what is offered, reading and enforcing."""

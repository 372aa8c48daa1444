"""Which requests run, and when: the waiting queue, admission, and the size of prefill chunks."""

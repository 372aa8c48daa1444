"""What a model remembers of the rows of a batch: keys, values and recurrent states."""

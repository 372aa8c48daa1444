"""What runs in the zygote and in the workers. Imports no array library but numpy."""

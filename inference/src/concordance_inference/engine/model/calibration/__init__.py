"""What is measured about a model when it is loaded."""

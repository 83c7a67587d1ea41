"""Episodes to learn from: recorded from an expert, or read from a data set."""

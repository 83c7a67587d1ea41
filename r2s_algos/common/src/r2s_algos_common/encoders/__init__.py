"""From what a policy observes to one vector: numbers as they are, images through convolutions."""

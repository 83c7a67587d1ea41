"""How an object behaves: how it rests, how it is grasped, and what it costs to simulate."""

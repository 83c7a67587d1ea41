"""What off-policy algorithms share: the replay buffer, critics, and the loop around them."""

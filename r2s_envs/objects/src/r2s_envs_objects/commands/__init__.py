"""What `r2s object` does."""

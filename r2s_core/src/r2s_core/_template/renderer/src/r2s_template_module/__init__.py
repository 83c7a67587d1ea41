"""What draws the images of cameras in r2s."""

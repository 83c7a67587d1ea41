"""What algorithms share: networks, normalisation, optimizer, checks, and off-policy learning."""

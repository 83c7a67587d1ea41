"""The table, the robot at it and the objects on it: what physics steps, and what pictures show."""

"""LeRobot data sets (LeRobotDataset v3) for r2s: the command `r2s demo`, and their reader."""

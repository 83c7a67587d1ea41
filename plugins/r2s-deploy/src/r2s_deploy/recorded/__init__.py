"""Recordings of a robot: CSV files, MCAP files and LeRobot data sets; `read.read` reads any."""

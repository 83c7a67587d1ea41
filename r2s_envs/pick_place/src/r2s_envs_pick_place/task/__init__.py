"""The task `real2sim_pick_place`: episodes, observations, rewards, the script and start states."""

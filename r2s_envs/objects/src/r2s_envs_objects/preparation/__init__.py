"""From a scan to a simulation-ready object, stage by stage."""

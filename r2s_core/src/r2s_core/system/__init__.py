"""Files, text, terminals, processes and other people's code: what touches the machine."""

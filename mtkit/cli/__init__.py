"""The command line: one file a command, no torch at the top of any."""

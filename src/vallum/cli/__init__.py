"""The command line: commands, and the only place that knows exit codes."""

"""The folder of a run: its name, its lock, and what its files may set."""

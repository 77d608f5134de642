"""Lightning callbacks that more than one topic uses."""

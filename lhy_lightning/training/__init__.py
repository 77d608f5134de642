"""Lightning bases of every module of the course: checkpoints, resuming, several optimizers, the Hub."""

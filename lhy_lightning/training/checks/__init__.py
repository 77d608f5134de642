"""What is checked before a training starts: data, Trainer, checkpoint and the settings of a resumed run."""

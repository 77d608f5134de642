"""BERT: four ways to fine-tune an encoder, and what its layers look at."""

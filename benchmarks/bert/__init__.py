"""BERT and question answering."""

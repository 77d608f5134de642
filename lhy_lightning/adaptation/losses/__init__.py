"""What domain adaptation and generalization add to the loss."""

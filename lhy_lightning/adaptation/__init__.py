"""Domain adaptation and generalization: lectures on domain adaptation, homework 11."""

"""What translation is trained on beside, or in place of, cross-entropy."""

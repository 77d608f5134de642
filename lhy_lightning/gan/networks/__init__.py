"""Generators and discriminators by name, what they are made of, and how they know the class. Plain torch."""

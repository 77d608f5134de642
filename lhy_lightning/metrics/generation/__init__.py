"""How good and how diverse generated images are."""

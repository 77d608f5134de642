"""Ground floor: random draws, ranks, files that appear whole, arguments and the classes that files may name."""

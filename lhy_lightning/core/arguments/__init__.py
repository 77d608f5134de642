"""Constructor arguments: which a class has, what values they take, which were renamed."""

"""What is said of the classes before training."""

from lhy_lightning.data.class_counts import describe_classes, doubtful_classes


def test_classes_are_told_with_their_counts() -> None:
    assert describe_classes(("cat", "dog"), (20, 1040)) == "2 classes in 1,060 training rows: cat 20, dog 1,040"
    assert describe_classes([str(n) for n in range(20)], [1] * 20, shown=2).endswith("0 1, 1 1 … and 18 more")


def test_classes_that_nobody_meant_are_told_of() -> None:
    (empty,) = doubtful_classes(("a", "b", "c"), (50, 50, 0))
    assert "1 of 3 classes have no training row" in empty
    (rare,) = doubtful_classes(("yes", "no", "-"), (5000, 5000, 15))
    assert "hardly a training row" in rare
    assert "'-' (15)" in rare
    (long,) = doubtful_classes(("good", "this is no class but a whole sentence of a review"), (50, 60))
    assert "is a text read as a label?" in long


def test_usual_classes_raise_no_doubt() -> None:
    assert doubtful_classes(("cat", "dog"), (3, 4)) == []
    assert doubtful_classes([f"class {n}" for n in range(100)], [5] * 100) == []


def test_names_that_differ_in_capitals_or_zeros_and_hardly_a_row_for_each_class_are_doubted() -> None:
    [told] = doubtful_classes(["Cat", "cat", "01", "1", "dog"], [20] * 5)
    assert told.startswith("4 of 5 classes differ from another in capitals or in zeros in front alone: 'Cat' (20)")
    [told] = doubtful_classes([f"id{number}" for number in range(30)], [1] * 30)
    assert told.startswith("30 classes in 30 training rows are fewer than two rows a class")

"""Flags looked up and taken out of a command line that is not parsed yet."""


def overwrites(argv: list[str]) -> tuple[bool, list[str]]:
    """Whether a command line says `--overwrite`, with or without a value, and the arguments without it."""
    rest, found = [], "false"
    words = iter(range(len(argv)))
    for place in words:
        flag, equals, value = argv[place].partition("=")
        if flag != "--overwrite":
            rest.append(argv[place])
        elif equals:
            found = value
        elif place + 1 < len(argv) and not argv[place + 1].startswith("-"):
            found = argv[next(words)]
        else:
            found = "true"
    return found.lower() in ("true", "1", "yes"), rest


def option(argv: list[str], name: str) -> tuple[str | None, list[str]]:
    """The last value of an option, and the arguments without it."""
    value, rest, skip = None, [], False
    for place, argument in enumerate(argv):
        if skip:
            skip = False
        elif argument == name and place + 1 < len(argv):
            value, skip = argv[place + 1], True
        elif argument.startswith(f"{name}="):
            value = argument.partition("=")[2]
        else:
            rest.append(argument)
    return value, rest

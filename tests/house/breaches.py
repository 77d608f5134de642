"""What breaks the rules of the house today; written by `python -m tests.house.plan --breaches`."""

BREACHES: dict[str, list[str]] = {
    "arrows up": [],
    "users of the front": [],
    "arrows between topics": [],
    "arrows up in data": [],
    "circles of rooms": [],
    "circles of rooms in data": [],
    "circles of files": [],
    "Lightning below": [],
    "rooms on no floor": [],
    "loose files": [],
    "loose files of data": [],
    "crowded folders": [],
    "long files": [],
}

"""Scripts that measure what the READMEs claim; `python -m benchmarks.TOPIC.SCRIPT` from the repository."""

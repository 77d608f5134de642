"""The `lhy` command."""

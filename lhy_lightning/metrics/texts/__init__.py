"""Agreement of texts, tags and answers with their references."""

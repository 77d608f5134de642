"""Questions about paragraphs, as windows that an encoder can read."""

"""From a folder, table or array to the pixels of one image."""

"""Opens what lies in folders, tables, text files and on the hub, whatever it holds."""

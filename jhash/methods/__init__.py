"""One paper a file: its equations as pure functions, then `class Method`. A method's name is its file's name."""

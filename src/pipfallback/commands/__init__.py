"""The commands of the program, one module each: words -> exit code. Each is imported only when it is given."""

"""What is seen while units run: here, in other shells, and by scripts."""

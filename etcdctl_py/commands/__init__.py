"""One file for each command, or for each group of small ones. The table of them is in `cli`."""

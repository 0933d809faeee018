"""One module per command, each with its `command`. They import what does the work only when they run."""

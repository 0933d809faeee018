"""One module per command. A command imports slow modules only when it runs."""

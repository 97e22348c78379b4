"""Things to run against a node; nothing in the service imports them."""

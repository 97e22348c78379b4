"""Several real nodes on this machine, each with certificates of its own."""

"""The Python standard library as a node's memory: load it, then ask in plain words."""

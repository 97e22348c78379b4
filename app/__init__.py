"""Federated memory for AI agents: one log of changes, the stores it fills, the surfaces over it.

Importing the package does nothing; `app.__main__` is the command and `app.bootstrap` wires a node.
"""

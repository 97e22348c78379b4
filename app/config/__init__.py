"""What the operator chose: one TOML file, the environment and flags, made into one frozen value.

`resolve.py` is the only place of the service that reads the process
environment. Everything below takes plain values; this package knows nothing
of stores, requests or the network and prints nothing: warnings are data.
"""

"""The sections of the configuration file, one frozen model a TOML table."""

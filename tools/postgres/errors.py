"""Why there is no server."""


class NoPostgresError(Exception):
    """No PostgreSQL could be found, made or started; the message says what to do."""

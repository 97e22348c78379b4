"""The wire's shapes: what a body or query may hold, and how values are shown."""

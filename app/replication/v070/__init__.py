"""The wire of v0.7.0: what it says, what that means in registers, and a client of it. DESIGN.md."""

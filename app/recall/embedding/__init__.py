"""Text to vectors: backends behind one Protocol, and the worker that drains the backlog.

Takes plain values and ports; it knows no store, no settings and no HTTP surface.
"""

"""The field's words as plain values: memories, links, agents, errors, time.

Pure: this package knows no socket, clock, chance, disk or event loop, and no
other package of the project.
"""

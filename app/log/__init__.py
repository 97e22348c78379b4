"""The change log: entries, clocks, registers and the merge of one into the other.

Pure: given the same entries this package computes the same state on every
node. It knows no socket, clock, chance, disk or event loop. `DESIGN.md` lists
what must hold and the test that holds it.
"""

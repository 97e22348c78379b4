"""Moving a whole store from one database to another, of the same kind or not.

States and the log travel as they are, byte for byte; what v0.7.0's clients read is written by the
write engine from the states, so each database gets its own columns. Like the write engine, this
package knows no database.
"""

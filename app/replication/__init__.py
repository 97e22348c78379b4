"""The mesh: lanes to peers, quorum, catch-up, repair. See DESIGN.md."""

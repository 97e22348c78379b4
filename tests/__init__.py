"""The tests; a package, so that one suite can import another one's fixtures."""

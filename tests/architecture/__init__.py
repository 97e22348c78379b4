"""Rules about the code base itself: layers, sizes, generated pages, words."""

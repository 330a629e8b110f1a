"""Token and sentence vectors of texts: the door for programs in Python."""

"""A corpus seen from above: where each document lies in the plane (`positions`), which belong
together (`clusters`), and the words that set a group apart (`words`). Start with `positions`.
"""

"""Families of models: of which blocks each is made, what its configuration says, and how its arrays
are called in its files. A new family is a module of its own here, and a row in `table.py`.
"""

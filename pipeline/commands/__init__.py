"""One module for each command that a user types.

Start with `embed.py`.
"""

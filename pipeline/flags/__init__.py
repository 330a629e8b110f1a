"""Flags: the table of commands, and how a line is read.

Start with `commands.py`.
"""

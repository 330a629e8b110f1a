"""The library: one Beam stage per verb, and beside each stage the plain library that does its
work.
"""

"""The library: one Beam stage per verb, and beside each stage the plain library that does its
work.
"""

if __name__ == "transforms":  # a second copy, whose `Document` is not the program's
    raise ImportError("in a checkout too this is corpusvec.transforms; import it by that name")

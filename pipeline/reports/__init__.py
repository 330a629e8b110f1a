"""One HTML file that shows an output: suggested links, a map, what the corpus is and what changed.

Start with `contents.py`, which gathers what the page shows; `pages.py` makes the file; `page/` has
its markup, styles, scripts and words.
"""

"""Files on local disks and in object stores, their digests and locks.

Start with `files.py`. Knows nothing of what is in the files.
"""

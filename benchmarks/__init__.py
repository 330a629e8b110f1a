"""What is measured, how, and what came out: `python -m benchmarks` writes the table of README.md
here.
"""

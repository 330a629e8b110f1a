"""SavedModels and TF1 Hub modules: which function is called, with which tokenizer, weights frozen.

Start with `choices.py`; each kind of function has its module.
"""

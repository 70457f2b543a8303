"""Parts alone: what users hold (matrices, frames, arrays) becomes what stages read, and their answers ids again.

Nothing is computed here: a part that is used alone does what it does in a pipeline, on the same types.
"""

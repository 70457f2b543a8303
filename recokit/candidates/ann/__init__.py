"""Nearest neighbours by FAISS: the index, what it is built from, and how it is kept up."""

"""Pictures of arrays with names, each kind in a file; matplotlib is imported when one is drawn."""

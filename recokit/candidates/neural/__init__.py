"""Sources that learn networks: sequences (SASRec) and two towers."""

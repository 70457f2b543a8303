"""The command line ``recokit``: what the library does with files, for shells and CI."""

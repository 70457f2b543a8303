"""A shop's recommendations as a service: FastAPI around a recokit pipeline, with pages to look at."""

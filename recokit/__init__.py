"""recokit: recommender components for production."""

"""Property tests: no deadline on shared machines, nothing kept between runs, seeds printed."""

from hypothesis import settings

settings.register_profile("kyros", deadline=None, database=None, max_examples=60, print_blob=True)
settings.load_profile("kyros")

"""Systems under test, built the same way by unit tests, integration tests and searches."""

"""The demo page: one image seen from inside, in a browser."""

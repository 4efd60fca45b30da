"""The studio: a page on which films get their sound, and the same over HTTP (extra `web`)."""

"""Listening tests: studies of sounds that people rate on a web page, and what their answers say. Extra `web`."""

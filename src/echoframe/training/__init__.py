"""Mappers learned from embedding sets: trained, compared, searched, joined into bundles. Needs the extra `train`."""

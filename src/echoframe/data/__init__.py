"""VGGSound and sets like it: downloaded, verified, repaired, packed, embedded, published. Needs the extra `data`.

A *clip folder* holds clips/XX/KEY.SUFFIX (XX: the first two hex digits of the key's sha1, so that no folder grows too
large), ledger.sqlite, which says of every clip where it stands, and maybe quarantine/. A clip's *key* is its YouTube id
and its start: ID_000030.
"""

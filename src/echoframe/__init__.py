"""EchoFrame."""

"""From what a run is asked to make to its files: orders, plans, what is done already, and the results."""

"""``make soak MINUTES=30``: a mix of faults, with loads that check what they get, and a table of what was found."""

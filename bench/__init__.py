"""Speed beside the peers, in one run each: `python -m bench --help`."""

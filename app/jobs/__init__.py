"""Jobs: requests that change or export a model are checked, accepted, written down, queued and reported on."""

"""Wakes the pipeline at the right moments. Three processes: the one that lifts, the web server, the mail worker."""

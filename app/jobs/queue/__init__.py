"""The queues by which workers get their jobs. Of the front end, only this folder knows RQ."""

"""What a worker measures, a file a subject; ``workers/serving/metrics.py`` has them all."""

"""Results that were saved once, and must print tomorrow what they printed then.

``python -m tests.unit.saved.make`` saves those anew. Only where a format is given up: a class that
moved gets a line in ``alliance_stats.archive.codec.FORMER`` instead, a new field a default.
``names.txt`` has the names of records and functions that a file can hold; one that is given up for
good is taken out there.
"""

"""What survival functions read: times at risk, endings, person periods, what was known in time."""

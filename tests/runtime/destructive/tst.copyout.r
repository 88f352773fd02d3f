1 1
Changed, 0


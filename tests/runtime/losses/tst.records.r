record 1
record 2
record 3
record 4
record 5
record 6
record 7


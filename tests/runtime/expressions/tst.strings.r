0 1 1 1 0 0
0 1 1
[abcdefg] 7 [bc] []
[abcdefg] [abd]


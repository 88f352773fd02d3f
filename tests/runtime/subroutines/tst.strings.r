[abc] [hello, world@[`{] [HELLO, WORLD@[`{]
-42 31 511 1295
[-1] [ffffffffffffffff] [0]
[ab] [cdef] []
3 2 0 3
0 -1 3
[two] [/b/c] [/c]
[hello] [hello] [NULL]
[a longer string] [a] [longer]
[] [] [NULL]
! 1
a! 1
hello! 1
ha

[abc\0] [     abc\0] [abc\0   ] [ab] [\0] [a\tb\0]
[AB\0] [ABCD] [ABCD]
[ABCD] [k\0] 1


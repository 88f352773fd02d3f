0a:00:00:00:00:ff
0a:00:00:00:00:ff:00:00:00:00:00:00:00:00:00:00:00:00:00:ab
10.0.0.0
a00:0:ff::
10.0.0.0
0.0.0.0
clause 1: fault 10, 0x10
clause 2: fault 1, 0x0
clause 3: fault 1, 0x0
clause 4: fault 1, 0x0
clause 5: fault 3, 0x7


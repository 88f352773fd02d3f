1 -8
ERROR 3 clause: 2 1 1 0x10, in the process, uregs 1
7 error 1 -8 eight 1
ERROR 3 error: 7 3 4 0x0, in the process, uregs 1
7
ERROR 3 error: 7 5 1 0x18, in the process, uregs 1
ERROR  0


CPU     ID                    FUNCTION:NAME
CPU      1                           :BEGIN                                      hi                               
             0  1  2  3  4  5  6  7  8  9  a  b  c  d  e  f  0123456789abcdef
         0: 00 00 00 00 01 00 00 00 00 00 00 00              ............



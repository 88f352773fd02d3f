
             0  1  2  3  4  5  6  7  8  9  a  b  c  d  e  f  0123456789abcdef
         0: 44 43 42 41 ff ff ff ff                          DCBA....
ok
             0  1  2  3  4  5  6  7  8  9  a  b  c  d  e  f  0123456789abcdef
         0: 41 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  A...............
        10: 00 7f 7a 00                                      ..z.

             0  1  2  3  4  5  6  7  8  9  a  b  c  d  e  f  0123456789abcdef
         0: 41 00 00                                         A..

             0  1  2  3  4  5  6  7  8  9  a  b  c  d  e  f  0123456789abcdef
         0: 41 00 00 00                                      A...

             0  1  2  3  4  5  6  7  8  9  a  b  c  d  e  f  0123456789abcdef
         0: 6f 6b 00                                         ok.
0xffffe80000000000 = *
                                            (struct all) {
                                             .a = (int)1,
                                             .b = (char [5]) [
                                              (char)'t',
                                              (char)1,
                                             ],
                                             .u = (union) {
                                              .c = (unsigned char)77,
                                              .d = (uint64_t)333,
                                             },
                                             .s = (struct) {
                                              .e = (void *)0x1000,
                                             },
                                             .g = (bool)1,
                                             .h = (enum eh)SECOND,
                                             .small = (short [3]) [
                                              (short)-7,
                                             ],
                                             .row = (struct point [2]) [
                                              (struct point) {
                                               .y = (int)3,
                                              },
                                             ],
                                             .bits = (unsigned)5,
                                             .negative = (int)-2,
                                             .real = (double)2.250000,
                                            }
0xffffe80000000040 = *
                                            (struct point) {
                                             .y = (int)3,
                                            }
0xffffe80000000000 = *
                                            (int)1,

  ok                                                                1
      -3200105660                1

0xffffe80000000000 = *
                                            (int)5,
0xffffe80000000008 = *
                                            (enum colour)BLUE,
0xffffe80000000010 = *
                                            (char)'x',


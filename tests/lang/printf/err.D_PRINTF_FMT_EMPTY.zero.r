dtrap: failed to compile script err.D_PRINTF_FMT_EMPTY.zero.d: [D_PRINTF_FMT_EMPTY] line 5: printf( ) format string is empty
    BEGIN { printf("\0 %d", 1); }
                   ^~~~~~~

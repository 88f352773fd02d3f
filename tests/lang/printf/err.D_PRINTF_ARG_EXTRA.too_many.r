dtrap: failed to compile script err.D_PRINTF_ARG_EXTRA.too_many.d: [D_PRINTF_ARG_EXTRA] line 5: printf( ) prototype mismatch: only 1 arguments required by this format string
    BEGIN { printf("%d", 1, 2); }
                            ^

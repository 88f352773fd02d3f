dtrap: failed to compile script err.D_PRINTF_ARG_PROTO.too_few.d: [D_PRINTF_ARG_PROTO] line 5: printf( ) prototype mismatch: conversion #2 (%d) is missing a corresponding value argument
    BEGIN { printf("%d %d", 1); }
            ^~~~~~~~~~~~~~~~~~

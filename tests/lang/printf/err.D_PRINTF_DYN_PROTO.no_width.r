dtrap: failed to compile script err.D_PRINTF_DYN_PROTO.no_width.d: [D_PRINTF_DYN_PROTO] line 5: printf( ) prototype mismatch: conversion #1 (%d) is missing a corresponding "*" argument
    BEGIN { printf("%*d"); }
            ^~~~~~~~~~~~~

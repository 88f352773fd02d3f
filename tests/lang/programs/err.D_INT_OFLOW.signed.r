dtrap: failed to compile script err.D_INT_OFLOW.signed.d: [D_INT_OFLOW] line 5: integer constant 0xffffffffffffffff cannot be represented in any built-in integral type
    BEGIN { x = 18446744073709551615; }
                ^~~~~~~~~~~~~~~~~~~~

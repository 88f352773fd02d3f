dtrap: failed to compile script err.D_REGS_IDX.too_large.d: [D_REGS_IDX] line 5: index 26 is out of range for array uregs
    BEGIN { x = uregs[26]; }
                      ^~

dtrap: failed to compile script err.D_REGS_IDX.negative.d: [D_REGS_IDX] line 5: index -1 is out of range for array uregs
    BEGIN { x = uregs[-1]; }
                      ^~

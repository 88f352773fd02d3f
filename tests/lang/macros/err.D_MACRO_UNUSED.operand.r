dtrap: failed to compile script err.D_MACRO_UNUSED.operand.d: [D_MACRO_UNUSED] line 7: extraneous argument '2' ($2 is not referenced)

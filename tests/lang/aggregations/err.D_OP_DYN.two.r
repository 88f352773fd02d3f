dtrap: failed to compile script err.D_OP_DYN.two.d: [D_OP_DYN] line 5: operator , operands cannot be of dynamic type
    BEGIN { @a = count(), @b = count(); }
            ^~~~~~~~~~~~

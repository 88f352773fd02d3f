dtrap: failed to compile script err.D_OP_VFPTR.added.d: [D_OP_VFPTR] line 5: operator += requires left-hand scalar operand of known size
    BEGIN { @a[1] = sum(1); @a[1] += 1; }
                            ^~~~~~~~~~
    hint: an aggregation is assigned to in a statement of its own: @name[keys] = count();

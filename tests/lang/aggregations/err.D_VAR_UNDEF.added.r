dtrap: failed to compile script err.D_VAR_UNDEF.added.d: [D_VAR_UNDEF] line 5: @a has not yet been declared or assigned
    BEGIN { @a = sum(1); @a += 1; }
                         ^~~~~~~
    hint: an aggregation is assigned to in a statement of its own: @name[keys] = count();

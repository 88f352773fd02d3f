dtrap: failed to compile script err.D_DEREF_VOID.copyin.d: [D_DEREF_VOID] line 5: cannot dereference pointer to void
    BEGIN { x = *copyin(arg0, 4); }
                ^~~~~~~~~~~~~~~~

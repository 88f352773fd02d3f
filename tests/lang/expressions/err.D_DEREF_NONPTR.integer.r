dtrap: failed to compile script err.D_DEREF_NONPTR.integer.d: [D_DEREF_NONPTR] line 5: cannot dereference non-pointer type
    BEGIN { x = *arg0; }
                ^~~~~

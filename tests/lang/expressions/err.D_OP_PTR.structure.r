dtrap: failed to compile script err.D_OP_PTR.structure.d: [D_OP_PTR] line 6: operator -> must be applied to a pointer
    BEGIN { trace(s->a); }
                  ^~~~

dtrap: failed to compile script err.D_OP_INCOMPLETE.forward.d: [D_OP_INCOMPLETE] line 6: operator -> cannot be applied to a forward declaration: no struct s definition is available
    BEGIN { trace(p->a); }
                  ^~~~

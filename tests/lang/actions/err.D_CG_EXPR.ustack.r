dtrap: failed to compile script err.D_CG_EXPR.ustack.d: [D_CG_EXPR] line 5: tracing function ustack( ) may not be called from a D expression (D program context required)
    BEGIN { x = ustack(); }
                ^~~~~~~~

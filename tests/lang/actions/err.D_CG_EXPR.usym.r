dtrap: failed to compile script err.D_CG_EXPR.usym.d: [D_CG_EXPR] line 5: tracing function usym( ) may not be called from a D expression (D program context required)
    BEGIN { x = usym(arg0); }
                ^~~~~~~~~~

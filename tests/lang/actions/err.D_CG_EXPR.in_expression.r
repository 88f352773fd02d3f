dtrap: failed to compile script err.D_CG_EXPR.in_expression.d: [D_CG_EXPR] line 5: tracing function trace( ) may not be called from a D expression (D program context required)
    BEGIN { (void)trace(1); }
                  ^~~~~~~~

dtrap: failed to compile script err.D_CG_EXPR.alone.d: [D_CG_EXPR] line 5: aggregating function count( ) may not be called from a D expression (D program context required)
    BEGIN { count(); }
            ^~~~~~~
    hint: aggregate with it: @[key] = count(…)

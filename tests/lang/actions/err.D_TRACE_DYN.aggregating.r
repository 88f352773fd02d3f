dtrap: failed to compile script err.D_TRACE_DYN.aggregating.d: [D_TRACE_DYN] line 5: trace( ) may not be applied to a dynamic expression
    BEGIN { trace(count()); }
                  ^~~~~~~
    hint: use printa()

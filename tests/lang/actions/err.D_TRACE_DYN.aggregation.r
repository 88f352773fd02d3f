dtrap: failed to compile script err.D_TRACE_DYN.aggregation.d: [D_TRACE_DYN] line 5: trace( ) may not be applied to a dynamic expression
    BEGIN { @a = count(); trace(@a); }
                                ^~
    hint: use printa()

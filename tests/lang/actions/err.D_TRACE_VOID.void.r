dtrap: failed to compile script err.D_TRACE_VOID.void.d: [D_TRACE_VOID] line 5: trace( ) may not be applied to a void expression
    BEGIN { trace((void)1); }
                  ^~~~~~~

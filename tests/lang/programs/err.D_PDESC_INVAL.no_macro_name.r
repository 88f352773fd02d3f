dtrap: failed to compile script err.D_PDESC_INVAL.no_macro_name.d: [D_PDESC_INVAL] line 5: invalid probe description "tick-$": Undefined macro variable in probe description
    BEGIN, tick-$ { }
           ^~~~~~

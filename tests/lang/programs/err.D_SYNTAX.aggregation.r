dtrap: failed to compile script err.D_SYNTAX.aggregation.d: [D_SYNTAX] line 5: syntax error near "@b"
    BEGIN { @a = count() @b = count(); }
                         ^~

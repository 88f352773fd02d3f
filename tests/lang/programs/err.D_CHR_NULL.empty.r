dtrap: failed to compile script err.D_CHR_NULL.empty.d: [D_CHR_NULL] line 5: empty character constant
    BEGIN { trace(''); }
                  ^~

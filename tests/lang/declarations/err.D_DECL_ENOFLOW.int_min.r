dtrap: failed to compile script err.D_DECL_ENOFLOW.int_min.d: [D_DECL_ENOFLOW] line 5: enumerator 'LEAST' value overflows INT_MAX (2147483647)
    enum e { LEAST = -2147483649 };
             ^~~~~~~~~~~~~~~~~~~

dtrap: failed to compile script err.D_DECL_ENOFLOW.int_max.d: [D_DECL_ENOFLOW] line 5: enumerator 'B' value overflows INT_MAX (2147483647)
    enum { A = 0x7fffffff, B };
                           ^

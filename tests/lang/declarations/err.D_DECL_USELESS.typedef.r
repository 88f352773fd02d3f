dtrap: failed to compile script err.D_DECL_USELESS.typedef.d: [D_DECL_USELESS] line 5: useless declaration
    typedef int;
    ^~~~~~~~~~~~

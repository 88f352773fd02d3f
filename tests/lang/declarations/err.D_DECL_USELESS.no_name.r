dtrap: failed to compile script err.D_DECL_USELESS.no_name.d: [D_DECL_USELESS] line 5: useless declaration
    int;
    ^~~~

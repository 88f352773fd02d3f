dtrap: failed to compile script err.D_DECL_CLASS.two.d: [D_DECL_CLASS] line 5: only one storage class allowed in a declaration
    self this int x;
         ^~~~

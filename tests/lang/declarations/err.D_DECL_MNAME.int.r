dtrap: failed to compile script err.D_DECL_MNAME.int.d: [D_DECL_MNAME] line 5: member declaration requires a name
    struct s { int; };
               ^~~~

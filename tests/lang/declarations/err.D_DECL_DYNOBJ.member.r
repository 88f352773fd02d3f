dtrap: failed to compile script err.D_DECL_DYNOBJ.member.d: [D_DECL_DYNOBJ] line 5: cannot have dynamic member: a
    struct s { int a[int]; };
                   ^~~~~~

dtrap: failed to compile script err.D_DECL_VOIDOBJ.member.d: [D_DECL_VOIDOBJ] line 5: cannot have void member: a
    struct s { void a; };
                    ^

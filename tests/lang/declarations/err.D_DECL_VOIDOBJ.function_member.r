dtrap: failed to compile script err.D_DECL_VOIDOBJ.function_member.d: [D_DECL_VOIDOBJ] line 5: cannot have void member: function
    struct s { int (*pointer)(void); int function(void); };
                                         ^~~~~~~~~~~~~~

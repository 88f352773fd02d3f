dtrap: failed to compile script err.D_DECL_VOIDOBJ.void.d: [D_DECL_VOIDOBJ] line 5: cannot have void object: x
    void x;
         ^

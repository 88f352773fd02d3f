dtrap: failed to compile script err.D_IDENT_UNDEF.module.d: [D_IDENT_UNDEF] line 5: failed to resolve vmlinux`x: Unknown symbol name
    BEGIN { trace(vmlinux`x); }
                  ^~~~~~~~~
    hint: the kernel's are out of reach

dtrap: failed to compile script err.D_FUNC_UNDEF.near.d: [D_FUNC_UNDEF] line 5: undefined function name: strlne
    BEGIN { x = strlne("a"); }
                ^~~~~~~~~~~
    hint: did you mean strlen?

dtrap: failed to compile script err.D_PRAGMA_UNUSED.provider.d: [D_PRAGMA_UNUSED] line 5: unused #pragma attributes
    #pragma D attributes Stable/Stable/Common provider nosuch provider
    ^~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
    hint: nothing is declared as nosuch

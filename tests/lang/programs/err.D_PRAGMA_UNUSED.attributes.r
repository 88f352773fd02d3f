dtrap: failed to compile script err.D_PRAGMA_UNUSED.attributes.d: [D_PRAGMA_UNUSED] line 5: unused #pragma attributes
    #pragma D attributes Stable/Stable/Common nosuch
    ^~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
    hint: nothing is declared as nosuch

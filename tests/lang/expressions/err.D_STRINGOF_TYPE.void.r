dtrap: failed to compile script err.D_STRINGOF_TYPE.void.d: [D_STRINGOF_TYPE] line 5: cannot apply stringof to a value of type void
    BEGIN { x = stringof((void)1); }
                ^~~~~~~~~~~~~~~~~

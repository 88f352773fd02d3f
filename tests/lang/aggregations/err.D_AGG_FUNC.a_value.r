dtrap: failed to compile script err.D_AGG_FUNC.a_value.d: [D_AGG_FUNC] line 5: @a must be assigned the result of an aggregating function
    BEGIN { @a = 1; }
            ^~~~~~
    hint: for example: @a = count()

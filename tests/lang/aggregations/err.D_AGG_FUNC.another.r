dtrap: failed to compile script err.D_AGG_FUNC.another.d: [D_AGG_FUNC] line 5: @a must be assigned the result of an aggregating function
    BEGIN { @a = @b = count(); }
            ^~~~~~~~~~~~~~~~~
    hint: for example: @a = count()

dtrap: failed to compile script err.D_AGG_SCALAR.a_string.d: [D_AGG_SCALAR] line 5: sum( ) argument #1 must be of scalar type
    BEGIN { @a = sum("text"); }
                     ^~~~~~

dtrap: failed to compile script err.D_ACT_RETURN.begin.d: [D_ACT_RETURN] line 5: return() not allowed for :::BEGIN
    BEGIN { return(5); }
            ^~~~~~~~~

dtrap: failed to compile script err.D_SYNTAX.predicate_alone.d: [D_SYNTAX] line 5: expected actions { } following probe description and predicate
    BEGIN /1/
             ^

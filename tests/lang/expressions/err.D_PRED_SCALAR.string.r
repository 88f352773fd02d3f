dtrap: failed to compile script err.D_PRED_SCALAR.string.d: [D_PRED_SCALAR] line 5: predicate result must be of scalar type
    BEGIN /execname/ { }
           ^~~~~~~~

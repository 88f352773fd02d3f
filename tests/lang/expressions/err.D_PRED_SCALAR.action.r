dtrap: failed to compile script err.D_PRED_SCALAR.action.d: [D_PRED_SCALAR] line 5: predicate result must be of scalar type
    BEGIN /trace(1)/ { }
           ^~~~~~~~

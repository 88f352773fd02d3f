dtrap: failed to compile script err.D_PRED_SCALAR.condition.d: [D_PRED_SCALAR] line 5: condition of if must be of scalar type
    BEGIN { if (execname) trace(1); }
                ^~~~~~~~

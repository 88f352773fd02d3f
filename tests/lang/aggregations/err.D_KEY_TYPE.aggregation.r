dtrap: failed to compile script err.D_KEY_TYPE.aggregation.d: [D_KEY_TYPE] line 5: aggregation expression may not be used as aggregation index: key #1
    BEGIN { @a = count(); @[@a] = count(); }
                            ^~

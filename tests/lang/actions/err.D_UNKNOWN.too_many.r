dtrap: failed to compile script err.D_UNKNOWN.too_many.d: [D_UNKNOWN] line 5: a clause may hold at most 63 recording actions in branches
    ); trace(56); trace(57); trace(58); trace(59); trace(60); trace(61); trace(62); trace(63); } }
                                                                                    ^~~~~~~~~
    hint: use two clauses

dtrap: failed to compile script err.D_EMPTY.declarations.d: [D_EMPTY] line 6: empty D program translation unit

dtrap: failed to compile script err.D_UNKNOWN.signed_and_unsigned.d: [D_UNKNOWN] line 5: failed to resolve type signed unsigned : Unknown type name
    signed unsigned x;
    ^~~~~~~~~~~~~~~

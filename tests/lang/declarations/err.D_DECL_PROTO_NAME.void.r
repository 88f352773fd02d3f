dtrap: failed to compile script err.D_DECL_PROTO_NAME.void.d: [D_DECL_PROTO_NAME] line 5: void parameter may not have a name: x
    int f(void x);
          ^~~~~~

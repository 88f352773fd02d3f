dtrap: failed to compile script err.D_PDESC_ZERO.rate.d: [D_PDESC_ZERO] line 5: probe description :::tick-0 does not match any probes
    tick-0 { }
    ^~~~~~
    hint: did you mean tick-1s?

dtrap: failed to compile script err.D_PDESC_ZERO.before_its_body.d: [D_PDESC_ZERO] line 5: probe description :::zzz does not match any probes
    zzz { trace(nosuch); }
    ^~~

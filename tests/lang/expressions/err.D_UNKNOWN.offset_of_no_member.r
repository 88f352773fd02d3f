dtrap: failed to compile script err.D_UNKNOWN.offset_of_no_member.d: [D_UNKNOWN] line 6: failed to determine offset of b: Member name not found.
    BEGIN { trace(offsetof(struct s, b)); }
                  ^~~~~~~~~~~~~~~~~~~~~
